"""Mistakes made on purpose do what they are said to do."""

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU

from gecalign import metrics
from gecalign.study import Study, mistakes
from gecalign.training import dpo, sft


@pytest.fixture(scope="module")
def study(small_study) -> Study:
    return small_study.of_seed(0)


def mean(totals):
    return totals[..., 0] / totals[..., 1]


def candidates(m: int, n: int, seed: int, spread: float = 1.0, better: float = 0.0) -> list[np.ndarray]:
    """Equally good candidates, but for the first, which is `better`; scores are means."""
    values = np.random.default_rng(seed).normal(0, spread, size=(m, n))
    values[0] += better
    return [np.column_stack([row, np.ones(n)]) for row in values]


# ---- trainings


def test_the_text_column_takes_the_eos_away_from_the_completion(study, monkeypatch):
    built = {}
    ordinary = sft.trainer

    def watching(*arguments, **options):
        trainer = ordinary(*arguments, **options)
        ids, labels = trainer.train_dataset[0]["input_ids"], trainer.train_dataset[0]["labels"]
        built["last"] = [token for token, label in zip(ids, labels, strict=True) if label != -100][-1]
        return trainer

    monkeypatch.setattr(sft, "trainer", watching)
    study = study.variant(study.profile.variant(grpo__steps=3))  # as long as this SFT: not trained before
    _, tokenizer = study.model("base")
    mistakes.briefly_trained(study, eos=True)
    assert built.pop("last") == tokenizer.eos_token_id
    mistakes.briefly_trained(study, eos=False)
    assert built.pop("last") != tokenizer.eos_token_id


def test_rounded_weights_are_those_of_bf16_after_every_update():
    model = torch.nn.Linear(7, 5)
    mistakes._rounding().on_step_end(None, None, None, model=model)
    for weight in model.parameters():
        assert torch.equal(weight, weight.to(torch.bfloat16).float())


def test_weights_in_bf16_move_less_than_in_fp32(study):
    rounded = mistakes.in_bf16(study)
    assert rounded.stage.facts["unmoved"] > mistakes.unmoved(study, "dpo")
    assert [p.id for p in rounded.predictions] == [e.id for e in study.examples("dev")]


def test_a_model_has_not_moved_from_itself(study):
    assert mistakes.unmoved(study, "sft") == 1


def test_these_trainings_are_stages_too(study, monkeypatch):
    mistakes.in_bf16(study)
    monkeypatch.setattr(dpo, "trainer", lambda *_: pytest.fail("trained again"))
    mistakes.in_bf16(study)


# ---- choosing


def test_the_best_of_equal_candidates_is_reported_too_high_by_the_expected_maximum():
    found = mistakes.select_on_the_test_set(candidates(8, 4000, seed=1), mean, sentences=400, repeats=2000)
    # E max of 8 standard normals is 1.4236; the mean of all is subtracted, which costs a factor sqrt(7/8)
    expected = 1.4236 * (7 / 8) ** 0.5 / 400**0.5
    assert found.reported.mean() == pytest.approx(expected, rel=0.25)  # the candidates do differ a little
    assert abs(found.elsewhere.mean()) < 0.3 * expected
    assert found.optimism > 0.7 * expected


def test_a_candidate_that_is_really_better_is_so_elsewhere():
    found = mistakes.select_on_the_test_set(candidates(4, 2000, seed=2, better=3.0), mean, sentences=500, repeats=50)
    assert found.elsewhere.mean() == pytest.approx(3.0 * 3 / 4, rel=0.1)
    assert abs(found.optimism) < 0.1


def test_the_part_must_leave_sentences_to_test_on():
    with pytest.raises(ValueError, match="fewer than the 10 that there are"):
        mistakes.select_on_the_test_set(candidates(2, 10, seed=0), mean, sentences=10)


def test_single_runs_are_all_pairs_of_seeds():
    system, baseline = (np.stack(candidates(m, 200, seed)) for m, seed in ((3, 1), (2, 2)))
    found = mistakes.single_runs(system, baseline, mean, resamples=200)
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
    assert mistakes.is_zero(hypotheses, references).tolist() == expected == [False, True, True]


def test_a_lazy_system_is_the_source_on_its_share_and_scores_fall_to_those_of_copying():
    sources = [f"she go home {i} ." for i in range(400)]
    references = [f"she goes home {i} ." for i in range(400)]
    idle = [text == source for text, source in zip(mistakes.lazy(references, sources, 0.25), sources, strict=True)]
    assert np.mean(idle) == pytest.approx(0.25, abs=0.08)
    found = mistakes.scores_of_laziness(references, references, sources, [0, 0.5, 1])
    assert found["BLEU"][0] == pytest.approx(100)
    assert found["BLEU"][2] == metrics.bleu.corpus(sources, references).value
    assert found["edit F0.5"][2] == 0
    assert all(values == sorted(values, reverse=True) for values in found.values())
