"""What happens inside a run: the tables say what the products say, and the record holds them of every seed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from gecalign.preferences import pairs
from gecalign.study import Study, accounts, diagnostics, mistakes, results


@pytest.fixture(scope="module")
def study(small_study) -> Study:
    return small_study.of_seed(0)


@pytest.fixture(scope="module")
def loaded(small_study) -> results.Results:
    return results.load(small_study.folder, small_study.profile)


def test_logs_are_those_of_the_trainings(study):
    logs = diagnostics.logs(study)
    for system, measures in diagnostics.LOGGED.items():
        log = study.log(system)
        for measure in set(measures) & set(log):
            rows = logs.query("system == @system and measure == @measure")
            known = log.dropna(subset=[measure])
            assert rows["step"].tolist() == known["step"].tolist()
            assert rows["value"].tolist() == known[measure].tolist()
    assert set(logs.query("system == 'grpo'")["measure"]) == set(diagnostics.LOGGED["grpo"])


def test_log_ratios_give_the_loss_that_the_library_reports(study):
    ratios = diagnostics.log_ratios(study)
    assert len(ratios) == study.pairs().facts["held_out"]
    margins = study.profile.dpo.beta * (ratios["chosen"] - ratios["rejected"])
    losses = np.log1p(np.exp(-margins))
    reported = study.log("dpo").set_index("step").loc[study.dpo().facts["chosen_step"], "eval_loss"]
    assert losses.mean() == pytest.approx(reported, abs=1e-4)
    assert ratios.abs().to_numpy().max() > 1e-3  # the model has moved


def test_a_log_probability_is_a_sum_of_log_softmax_terms_up_to_the_eos(study):
    import torch

    model, tokenizer = study.model("sft")
    found = diagnostics.log_probability(model, tokenizer, "Fix grammar: she go\nCorrected:", " she goes")
    asked, said = (tokenizer(text)["input_ids"] for text in ("Fix grammar: she go\nCorrected:", " she goes"))
    ids = torch.tensor([[*asked, *said, tokenizer.eos_token_id]])
    labels = ids.clone()
    labels[0, : len(asked)] = -100
    with torch.no_grad():
        loss = model(ids, labels=labels).loss.item()  # the library's mean over the labelled tokens
    assert found == pytest.approx(-loss * (len(said) + 1), rel=1e-4)


def test_rewards_are_those_of_the_check(study):
    table, check = diagnostics.rewarded(study), study.reward_check()
    np.testing.assert_array_equal(np.stack(table["direct"]), check.direct)
    np.testing.assert_array_equal(np.stack(table["trainer"]), check.trainer)
    assert table["greedy"].tolist() == check.greedy.tolist()


def test_all_samples_of_a_prompt_give_the_pairs_of_the_study(study):
    table = diagnostics.pairs_by_samples(study)
    funnel = pairs.Funnel(**study.pairs().facts["funnel"])
    last = table.loc[study.profile.pairs.samples]
    assert last["pairs"] == funnel.pairs
    assert last[list(funnel.dropped)].to_dict() == funnel.dropped
    assert list(table.index) == list(range(2, study.profile.pairs.samples + 1))


def test_samplers_lose_no_prompt_and_only_two_temperatures_have_a_cooler_one(study):
    table = diagnostics.pairs_by_sampler(study)
    assert list(table.index) == list(diagnostics.SAMPLERS)
    assert (table[[*pairs.DROPPED, "pairs"]].sum(axis=1) == table["prompts"]).all()
    assert table.loc[["0.5", "0.7", "1.0"], "of two temperatures"].eq(0).all()
    assert table.loc["0.7 and 1.2", "of two temperatures"] == table.loc["0.7 and 1.2", "pairs"] > 0
    assert table[diagnostics.ABOUT].isna().all()  # the errors of this corpus are not recorded


def test_every_judge_has_one_opinion_of_each_pair(study):
    table = diagnostics.judges(study)
    assert list(table.index) == list(diagnostics.JUDGES)
    np.testing.assert_allclose(table.sum(axis=1), 1)


def test_single_facts_are_those_of_the_stages(study):
    facts = accounts.facts(study).set_index("name")["value"]
    assert facts["pairs trained on"] == study.pairs().facts["pairs"]
    assert facts["chosen step"] == study.sft().facts["chosen_step"]
    assert facts[list(pairs.DROPPED)].sum() + facts["pairs"] == facts["prompts"]


def test_mistakes_stand_beside_the_right_way(study):
    table = mistakes.mistakes(study).set_index(["mistake", "made"])
    assert set(table.index.get_level_values("mistake")) == set(mistakes.MISTAKES)
    assert table.loc[("bf16 weights", False), "BLEU"] == study.evaluation("dpo", "dev").scores.row()["BLEU"]
    assert table.loc[("another prompt", False), "BLEU"] == table["SFT"].iloc[0]
    assert table.loc[("bf16 weights", True), "unmoved"] > table.loc[("bf16 weights", False), "unmoved"]
    assert table.drop("bf16 weights", level="mistake")["unmoved"].isna().all()
    assert table["longest"].str.len().max() <= mistakes.LONGEST


# ---- the record


def test_the_record_holds_the_tables_of_every_seed(small_study, loaded):
    assert set(loaded.tables) == {name.split(".")[0] for name in results.TABLES}
    for seed in loaded.seeds:
        of_seed = small_study.of_seed(seed)
        for name in ("log_ratios.csv", "samplers.csv", "facts.csv", "mistakes.csv"):
            table = loaded.tables[name.split(".")[0]]
            rows = table[table["seed"] == seed].drop(columns="seed").reset_index(drop=True)
            expected = results.TABLES[name](of_seed)
            pd.testing.assert_frame_equal(rows, expected, check_dtype=False, rtol=1e-4)
        kept = loaded.tables["rewards"].query("seed == @seed")
        np.testing.assert_allclose(np.stack(kept["direct"]), of_seed.reward_check().direct, rtol=1e-6)


def test_curves_and_facts_have_a_column_a_seed(small_study, loaded):
    curves = loaded.curves("dpo", "eval_bleu")
    assert list(curves.columns) == list(loaded.inside.seeds) == [0, 1]
    log = small_study.of_seed(1).log("dpo").dropna(subset=["eval_bleu"])
    np.testing.assert_allclose(curves[1].dropna(), log["eval_bleu"], rtol=1e-6)
    assert loaded.fact("pairs trained on") == [small_study.of_seed(s).pairs().facts["pairs"] for s in (0, 1)]


def test_the_inside_can_be_renewed_without_the_predictions_and_says_of_which_runs_it_is(small_study, tmp_path):
    shutil.copytree(small_study.folder, tmp_path / "results")
    results.renew_inside([small_study.of_seed(1)], tmp_path / "results")
    found = results.load(tmp_path / "results", small_study.profile)
    assert found.seeds == [0, 1]
    assert found.inside.seeds == (1,)
    assert set(found.tables["facts"]["seed"]) == set(found.tables["logs"]["seed"]) == {1}
    for name in set(results.FILES) - set(results.INSIDE) - {"study.json"}:
        assert (tmp_path / "results" / name).read_bytes() == (small_study.folder / name).read_bytes()
    before = json.loads((small_study.folder / "study.json").read_text())
    after = json.loads((tmp_path / "results" / "study.json").read_text())
    assert {name for name in before if before[name] != after[name]} == {"inside"}
