"""Mistakes of choosing and of reading scores do what they are said to do."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from gecalign import metrics
from gecalign.book import pitfalls


def mean(totals):
    return totals[..., 0] / totals[..., 1]


def candidates(m: int, n: int, seed: int, spread: float = 1.0, better: float = 0.0) -> list[np.ndarray]:
    """Equally good candidates, but for the first, which is `better`; scores are means."""
    values = np.random.default_rng(seed).normal(0, spread, size=(m, n))
    values[0] += better
    return [np.column_stack([row, np.ones(n)]) for row in values]


# ---- choosing


def test_the_best_of_equal_candidates_is_reported_too_high_by_the_expected_maximum():
    found = pitfalls.select_on_the_test_set(candidates(8, 4000, seed=1), mean, sentences=400, repeats=2000)
    # E max of 8 standard normals is 1.4236; the mean of all is subtracted, which costs a factor sqrt(7/8)
    expected = 1.4236 * (7 / 8) ** 0.5 / 400**0.5
    assert found.reported.mean() == pytest.approx(expected, rel=0.25)  # the candidates do differ a little
    assert abs(found.elsewhere.mean()) < 0.3 * expected
    assert found.optimism > 0.7 * expected


def test_a_candidate_that_is_really_better_is_so_elsewhere():
    found = pitfalls.select_on_the_test_set(candidates(4, 2000, seed=2, better=3.0), mean, sentences=500, repeats=50)
    assert found.elsewhere.mean() == pytest.approx(3.0 * 3 / 4, rel=0.1)
    assert abs(found.optimism) < 0.1


def test_the_part_must_leave_sentences_to_test_on():
    with pytest.raises(ValueError, match="fewer than the 10 that there are"):
        pitfalls.select_on_the_test_set(candidates(2, 10, seed=0), mean, sentences=10)


def test_single_runs_are_all_pairs_of_seeds():
    system, baseline = (np.stack(candidates(m, 200, seed)) for m, seed in ((3, 1), (2, 2)))
    found = pitfalls.single_runs(system, baseline, mean, resamples=200)
    expected = [s[:, 0].mean() - b[:, 0].mean() for b in baseline for s in system]
    assert [difference for difference, _ in found] == pytest.approx(expected)
    assert all(0 < p <= 1 for _, p in found)


# ---- rewards


def test_zeros_are_those_of_sacrebleu_without_smoothing():
    references = ["She goes home every day .", "He likes it very much .", "We went home ."]
    hypotheses = ["She goes home every day .", "He likes that very well .", "She came here ."]
    expected = [
        BLEU(smooth_method="none").sentence_score(h, [r]).score == 0
        for h, r in zip(hypotheses, references, strict=True)
    ]
    assert pitfalls.is_zero(hypotheses, references).tolist() == expected == [False, True, True]


def test_a_lazy_system_is_the_source_on_its_share_and_scores_fall_to_those_of_copying():
    sources = [f"she go home {i} ." for i in range(400)]
    references = [f"she goes home {i} ." for i in range(400)]
    idle = [text == source for text, source in zip(pitfalls.lazy(references, sources, 0.25), sources, strict=True)]
    assert np.mean(idle) == pytest.approx(0.25, abs=0.08)
    found = pitfalls.scores_of_laziness(references, references, sources, [0, 0.5, 1])
    assert found["BLEU"][0] == pytest.approx(100)
    assert found["BLEU"][2] == metrics.bleu.corpus(sources, references).value
    assert found["edit F0.5"][2] == 0
    assert all(values == sorted(values, reverse=True) for values in found.values())
