"""The study's tables: every number in them is that of the predictions."""

import json

import numpy as np
import pytest
from scipy import stats

from gecalign import metrics
from gecalign.book import comparison
from gecalign.metrics.behaviour import Behaviour
from gecalign.statistics.compare import Difference, Interval
from gecalign.study import results
from gecalign.systems import COMPARED, CONTROL, LABELS, MISTAKES


@pytest.fixture(scope="module")
def found(small_study) -> results.Results:
    return results.load(small_study.folder, small_study.profile)


def corpus_bleu(found: results.Results, system: str, split: str = "test") -> np.ndarray:
    outputs = [found.outputs(system, seed, split) for seed in found.seeds]
    return np.array([metrics.bleu.corpus(o.hypotheses, o.references).value for o in outputs])


def difference(p_value: float, estimate: float = 1.0) -> Difference:
    interval = Interval(estimate - 1, estimate + 1, estimate, "t", 100, 0, 0.95, 5)
    return Difference(estimate, interval, p_value, "t", 0.5, 4, 0.2, 100, (estimate,) * 5)


def test_scores_are_means_over_seeds_of_corpus_scores(found):
    table = comparison.scores(found)
    assert table.index.tolist() == [LABELS[name] for name in COMPARED]
    for name in ("sft", "grpo"):
        values = corpus_bleu(found, name)
        bleu = comparison.intervals(found, systems=[name])[name]
        assert table.loc[LABELS[name], "BLEU"] == f"{values.mean():.1f} ± {(bleu.high - bleu.low) / 2:.1f}"
        assert table.loc[LABELS[name], "sd"] == f"{values.std(ddof=1):.1f}"
    assert table.loc["copy the input", "sd"] == ""  # has no seed


def test_mistakes_are_not_in_the_tables(found):
    assert not set(MISTAKES) & set(COMPARED)
    for table in (comparison.scores(found), comparison.budgets(found)):
        assert not {LABELS[name] for name in MISTAKES} & set(table.index)
    assert [line.split(" | ")[0][2:] for line in comparison.described().splitlines()[2:]] == [
        LABELS[n] for n in COMPARED
    ]


def test_budgets_are_means_over_seeds_in_thousands_of_tokens(found):
    rows = found.budget[found.budget["system"] == "grpo"]
    shown = comparison.budgets(found).loc["GRPO"]
    assert shown["sampled"] == f"{rows['sampled tokens'].mean() / 1000:,.0f}"
    assert shown["updates"] == "8"


def test_differences_are_paired_by_seed(found):
    one = comparison.differences(found, systems=["dpo"])["dpo"]
    expected = corpus_bleu(found, "dpo") - corpus_bleu(found, CONTROL)
    assert one.per_seed == pytest.approx(tuple(expected))
    assert one.estimate == pytest.approx(expected.mean())
    assert one.interval.signature == found.record["signatures"]["BLEU"]
    assert CONTROL not in comparison.differences(found)
    on_dev = comparison.differences(found, systems=["dpo"], split="dev")["dpo"]
    assert on_dev.per_seed == pytest.approx(
        tuple(corpus_bleu(found, "dpo", "dev") - corpus_bleu(found, CONTROL, "dev"))
    )


def test_what_is_found_is_corrected_for_the_number_of_comparisons():
    rows = {"dpo": difference(0.02), "grpo": difference(0.03), "raft": difference(0.001)}
    assert comparison.significant(rows) == {"raft", "dpo", "grpo"}
    assert comparison.significant(rows | {"sft": difference(0.9)}) == {"raft"}
    table = comparison.difference_table(rows)
    assert table["p (Holm)"].tolist() == ["0.040", "0.040", "0.003"]
    assert table.loc["DPO", "difference"] == "+1.00 ± 1.00"


def test_stars_are_corrected_over_the_whole_table():
    rows = {"BLEU": {"dpo": difference(0.02)}, "GLEU": {"dpo": difference(0.03)}}
    assert comparison.metric_table(rows).loc["DPO"].tolist() == ["+1.00*", "+1.00*"]
    rows["chrF2"] = {"dpo": difference(0.9)}
    assert comparison.metric_table(rows).loc["DPO"].tolist() == ["+1.00", "+1.00", "+1.00"]


def test_dev_and_test_stand_side_by_side_for_each_run(found):
    rows = comparison.dev_against_test(found).set_index(["system", "seed"])
    dev, test = corpus_bleu(found, "grpo", "dev"), corpus_bleu(found, "grpo")
    assert rows.loc[("grpo", 1), "dev"] == pytest.approx(dev[1], abs=1e-5)
    assert rows.loc[("grpo", 1), "test"] == pytest.approx(test[1], abs=1e-5)
    expected = test[1] - corpus_bleu(found, CONTROL)[1]
    assert rows.loc[("grpo", 1), "test gain"] == pytest.approx(expected, abs=1e-5)
    assert rows.loc[(CONTROL, 0), "dev gain"] == 0
    assert {"copy", "base", "best-of-n", *MISTAKES}.isdisjoint(rows.index.get_level_values("system"))


# ---- rates


def flags(shares: list[float], n: int = 500, clean: float = 1.0) -> results.Results:
    """Results whose runs show all behaviours on these shares of `n` sentences, of which a share is clean."""

    class Fixed:
        seeds = tuple(range(len(shares)))

        def outputs(self, name: str, seed: int):
            shown = np.arange(n) < round(shares[seed] * n)
            is_clean = np.arange(n) < round(clean * n)
            measured = Behaviour(shown, shown, shown, shown, is_clean, shown & is_clean, shown, np.ones(n))
            return type("Outputs", (), {"behaviour": measured})

    return Fixed()  # type: ignore[return-value]


def test_a_common_behaviour_has_the_interval_over_seeds():
    shares = [0.2, 0.22, 0.21, 0.24, 0.19]
    found = comparison.rate_intervals(flags(shares), lambda b: b.looped)["sft"]
    assert found.method == "t"
    assert found.estimate == pytest.approx(100 * np.mean(shares))
    assert found.low < 100 * np.mean(shares) - 100 * np.std(shares, ddof=1) / 5**0.5


def test_an_interval_of_a_share_ends_where_shares_end():
    few, many = [0.001, 0.1, 0.002, 0.001, 0.001], [0.999, 0.9, 0.998, 0.999, 0.999]
    low, high = (comparison.rate_intervals(flags(shares), lambda b: b.looped)["sft"] for shares in (few, many))
    assert (low.method, low.low, high.high) == ("t", 0, 100)


@pytest.mark.parametrize("shown", [0, 1, 4])
def test_a_rare_behaviour_has_an_exact_interval(shown):
    found = comparison.rate_intervals(flags([shown / 500] * 5), lambda b: b.looped)["sft"]
    exact = stats.binomtest(shown, 500).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((100 * exact.low, 100 * exact.high))
    assert found.estimate == pytest.approx(100 * shown / 500)
    assert found.high > 0.5  # nothing seen in 500 does not mean that there is nothing


def test_a_rate_is_among_the_sentences_that_are_asked_about():
    found = comparison.rate_intervals(flags([0.1] * 5, clean=0.4), lambda b: b.over_corrected, lambda b: b.clean)["sft"]
    assert found.estimate == pytest.approx(25)  # 50 of 200


def test_the_named_behaviours_are_those_of_the_outputs(found):
    measured = found.outputs("grpo", 0).behaviour
    assert comparison.BEHAVIOURS["copied"](measured) is measured.copied
    assert comparison.BEHAVIOURS["over-corrected"](measured) is measured.over_corrected
    assert comparison.BEHAVIOURS["cut off"](measured) is measured.truncated


# ---- the file of scores


def test_the_file_of_scores_has_every_system_with_every_seed(found, tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    comparison.save_bleu_scores(found)
    written = json.loads((tmp_path / "bleu_scores.json").read_text(encoding="utf-8"))
    assert list(written) == list(COMPARED)
    values = corpus_bleu(found, "dpo") / 100
    assert written["dpo"]["bleu"] == pytest.approx(values.mean(), abs=1e-4)
    assert written["dpo"]["by_seed"] == {
        "0": pytest.approx(values[0], abs=1e-4),
        "1": pytest.approx(values[1], abs=1e-4),
    }
    assert (written["dpo"]["n"], written["dpo"]["signature"]) == (12, metrics.bleu.corpus(["a"], ["a"]).signature)
