"""The plan: counts are those of what was really made, nothing is loaded, and time is arithmetic on measured rates."""

from __future__ import annotations

import dataclasses
import io
import json

import factories
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from gecalign import cli, config, plan, systems
from gecalign.corpus import corpora
from gecalign.models import loading, memory
from gecalign.plan import Machine, Plan, Step, rates, rendering, sizes
from gecalign.plan.rates import Measured, Speed
from gecalign.runtime import console
from gecalign.study import Study

RATES = Speed(token=1e-5, update=1e-2, step=3e-2, row=1e-4)
GB = 10**9


def gpu(free: float, processes: int = 1) -> Machine:
    return Machine("a GPU", True, "bf16", int(free * GB), processes)


def planned(profile: config.Profile, runs, machine: Machine | None = None, seeds: int = 1) -> Plan:
    return plan.make(Study(profile, 0, runs), seeds, machine or gpu(15), RATES)


def steps(made: Plan) -> dict[str, Step]:
    return {step.name: step for step in made.steps}


@pytest.fixture
def no_loading(monkeypatch):
    """Whoever loads weights or asks a hub fails."""
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("loaded weights"))
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("loaded a model"))
    monkeypatch.setattr(corpora, "_read_hub", lambda *_: pytest.fail("asked the hub for a corpus"))


# ---- counts


def test_what_is_planned_is_what_was_done(small_study):
    study = small_study.of_seed(0)
    made = steps(planned(study.profile, small_study.runs))
    assert made["sft"].updates == study.sft().facts["updates"]
    assert made["grpo"].samples - 2 * 8 == study.grpo().facts["samples_in_all"]  # the other texts are of evaluations
    assert made["grpo"].prompts == study.grpo().facts["prompts_in_all"]
    for size in ("grpo-4", "grpo-16"):
        assert made[size].prompts == study.trained(size).facts["prompts_in_all"]
    assert made["dpo"].updates >= study.dpo().facts["updates"]  # as many pairs as were found, or more
    for name in ("sft", "sft-continued", "raft", "grpo"):
        assert made[name].trained_tokens == pytest.approx(study.trained(name).facts["tokens"], rel=0.25)
    samples = study.samples()
    assert made["samples"].written_tokens == pytest.approx(samples.facts["tokens"], rel=0.5)
    assert made["best-of-n on test, greedy"].samples == 12 * study.profile.reward_check.samples
    assert made["copy on test, greedy"].samples == 0


def test_every_product_of_the_study_is_planned_once_and_marked_when_it_is_there(small_study, tmp_path):
    made = planned(small_study.profile, small_study.runs, seeds=2)
    names = [(step.seed, step.name) for step in made.steps]
    assert len(names) == len(set(names))
    trained = {step.name for step in made.steps if step.updates}
    assert trained == set(systems.RECORDED) - set(systems.UNTRAINED)
    assert [step.name for step in made.steps if step.took is None] == []
    assert made.seconds == 0
    sft = next(step for step in made.steps if step.name == "sft")
    assert sft.took == small_study.of_seed(0).sft().record["seconds"]
    nothing = planned(small_study.profile, tmp_path, seeds=2)
    assert all(step.took is None for step in nothing.steps)
    assert [step.seconds for step in nothing.steps] == pytest.approx([step.seconds for step in made.steps], rel=0.2)
    assert not list(tmp_path.iterdir())  # planning makes nothing


def test_another_seed_and_other_settings_are_not_there_yet(small_study):
    profile = small_study.profile
    third = plan.make(small_study.of_seed(2), 1, gpu(15), RATES)
    assert [step.name for step in third.steps if step.took is not None] == ["data"]
    changed = steps(planned(profile.variant(grpo__steps=6), small_study.runs))
    assert changed["sft"].took is not None
    assert changed["dpo"].took is not None
    assert changed["grpo"].took is None
    assert changed["sft-continued"].took is None  # trained for as many updates


# ---- the large profiles


@pytest.mark.parametrize("profile", ["smollm-135m", "smollm-360m", "llama-3.2-1b", "as-published"])
def test_large_profiles_are_planned_without_loading_anything(profile, tmp_path, no_loading):
    made = planned(config.profile(profile), tmp_path, gpu(23))
    assert made.seconds > 0
    assert any("CoEdIT has 19,823 rows" in words for words in made.assumptions)
    assert steps(made)["grpo"].samples > config.profile(profile).grpo.steps


@pytest.mark.parametrize(
    ("profile", "usable"),
    [("smollm-135m", 15), ("as-published", 15), ("smollm-360m", 23), ("llama-3.2-1b", 23)],
)
def test_every_step_fits_the_gpu_that_the_profile_is_for(profile, usable, tmp_path):
    chosen = config.profile(profile)
    made = planned(chosen, tmp_path, gpu(usable))
    assert made.warnings == ()
    assert made.memory <= usable * GB
    assert all(step.micro_batch for step in made.steps if step.updates)
    assert steps(made)["grpo-16"].micro_batch >= 4


def test_what_does_not_fit_is_said_and_what_would_help(tmp_path):
    made = planned(config.LLAMA_1B.variant(lora__rank=0), tmp_path, gpu(15))
    (words,) = [words for words in made.warnings if words.startswith("sft, ")]
    assert "lora.rank=16" in words
    assert "gradient_checkpointing" in words
    assert steps(made)["sft"].micro_batch is None


def test_several_processes_share_the_time_and_not_the_counts(tmp_path):
    one, two = (steps(planned(config.SMOLLM_135M, tmp_path, gpu(15, n))) for n in (1, 2))
    for name in ("sft", "dpo", "grpo", "samples", "sft on test, greedy"):
        assert one[name].trained_tokens == pytest.approx(two[name].trained_tokens)
        assert one[name].samples == two[name].samples
        assert 0.45 < two[name].seconds / one[name].seconds < 1
    assert two["grpo"].micro_batch <= config.SMOLLM_135M.grpo.batch_size // 2


def test_a_slow_machine_is_warned_about_where_the_model_is_large(tmp_path):
    cpu = Machine("2 CPU cores", False, "fp32", 60 * GB)
    assert any("There is no GPU here" in words for words in planned(config.SMOLLM_135M, tmp_path, cpu).warnings)
    assert planned(config.TINY, tmp_path, cpu).warnings == ()


# ---- sizes


def test_sizes_of_a_generated_corpus_are_those_it_will_have(tmp_path):
    found = sizes.of(Study(config.TINY, 0, tmp_path))
    assert found.rows == {"train": 20_000, "preference": 4000, "dev": 500, "test": 2000, "validation": 0}
    assert 10 < found.text < 20
    assert found.assumptions == ()


def test_sizes_of_a_local_corpus_are_counted(tmp_path):
    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(60))
    profile = factories.local_profile(factories.base_folder(tmp_path / "base"), corpus)
    found, study = sizes.of(Study(profile, 0, tmp_path)), Study(profile, 0, tmp_path / "made")
    assert found.rows == study.corpus.facts["rows"]
    assert found == sizes.of(study)  # as where it is made already
    tokenizer = factories.save_tokenizer(tmp_path / "tokenizer")
    length = len(tokenizer(" " + study.examples("train")[0].reference)["input_ids"]) + 1
    assert length in found.lengths


def test_the_longest_of_many_is_expected_to_be_longer():
    found = sizes.Sizes({}, tuple(range(1, 101)), 5, ())
    assert found.longest(1) == pytest.approx(50.5)
    assert found.longest(2) == pytest.approx(67, abs=0.5)
    assert found.longest(10_000) == pytest.approx(100)
    assert found.longest_of_sorted(2) == 75  # 100 and 50
    assert (found.text, found.prompt) == (50.5, 55.5)


def test_coedit_has_the_lengths_that_are_known_of_it(tmp_path):
    found = sizes.of(Study(config.SMOLLM_135M, 0, tmp_path))
    assert found.rows["train"] == 19_823 - 4000 - 500 - 2000
    assert found.text == pytest.approx(61, abs=1)  # EOS included
    assert sum(x > 129 for x in found.lengths) / len(found.lengths) == pytest.approx(0.04, abs=0.003)


def test_an_unknown_data_set_is_refused_with_a_way_out(tmp_path):
    unknown = config.SMOLLM_135M.variant(data__source="somebody/else")
    with pytest.raises(ValueError, match=r"somebody/else.*gecalign run data"):
        sizes.of(Study(unknown, 0, tmp_path))


# ---- rates


def test_writing_takes_what_reading_and_steps_take():
    assert RATES.read == pytest.approx(1e-5 / 3)
    assert RATES.writing(texts=10, at_once=4, prompts=60, steps=20, written=12) == pytest.approx(
        60 * 1e-5 / 3 + 20 * 2.5 * 3e-2 + 10 * 12 * 1e-4
    )


def test_layers_that_are_not_measured_are_added(monkeypatch):
    shape = memory.KNOWN["HuggingFaceTB/SmolLM-135M"]
    seen = []

    def measured(shape, *_):
        seen.append(shape)
        return Speed(token=10.0 + shape.layers, update=0.0, step=5.0 * shape.layers, row=2.0 - shape.layers)

    monkeypatch.setattr(rates, "_measure", measured)
    monkeypatch.setattr(rates, "_seconds_a_parameter", lambda: 2.0)
    deep = rates.measure(shape, config.Engine(), Measured(9, 9, 1, 1), parameters=7)
    assert [s.layers for s in seen] == [1, 2]
    assert seen[0] == dataclasses.replace(shape, layers=1)
    assert (deep.token, deep.step, deep.update) == (40.0, 150.0, 14.0)
    assert deep.row == 1.0  # noise makes no layer faster than none
    rates.measure(dataclasses.replace(shape, layers=4), config.Engine(), Measured(9, 9, 1, 1), 1)
    assert seen[-1].layers == 4  # a shallow one is measured whole


@pytest.mark.parametrize("checkpointing", [False, True])
def test_rates_are_measured_in_the_precision_of_the_engine(checkpointing, monkeypatch):
    asked = []
    autocast = loading.autocast
    monkeypatch.setattr(loading, "autocast", lambda engine: asked.append(engine) or autocast(engine))
    shape = memory.Shape(6, 32, 2, 2, 16, 64, 330, True, 256)
    engine = config.Engine(precision="bf16", gradient_checkpointing=checkpointing)
    state = torch.random.get_rng_state()
    found = rates.measure(shape, engine, Measured(prompt=12, new=8, trained=4, written=8), parameters=1000)
    assert all(0 <= getattr(found, field.name) < 1 for field in dataclasses.fields(found))
    assert found.token > 0
    assert found.step + found.row > 0
    assert set(asked) == {engine}
    assert torch.equal(torch.random.get_rng_state(), state)  # a study gives the same with or without a plan


def test_a_small_part_is_measured_where_the_model_is_large():
    assert rates._at_most(32, rates.WORK / 4) == 4
    assert rates._at_most(32, rates.WORK * 9) == 1
    assert rates._at_most(32, 1.0) == 32


# ---- showing


def shown(made: Plan, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(rendering.render(made, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits(width, tmp_path):
    text = shown(planned(config.SMOLLM_135M, tmp_path, seeds=3), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text  # nothing is cut
    for words in ("GRPO, c = 16", "evaluations", "Still to come", "19,823 rows"):
        assert words in text


def test_rows_are_sums_over_seeds_and_done_is_done(small_study):
    made = planned(small_study.profile, small_study.runs, seeds=3)
    rows = {row.label: row for row in rendering.rows(made)}
    assert [rows["SFT"].done, len(rows["SFT"].steps)] == [2, 3]
    assert rows["SFT"].counts[0] == rendering.rounded(3 * small_study.profile.sft.steps)
    assert rows["data"].time == "done"
    assert rows["SFT"].time != "done"
    assert len(rows["evaluations"].steps) == 3 * sum(step.is_evaluation for step in made.steps if step.seed == 0)
    assert "2/3" in shown(made, 100)


def test_numbers_are_short():
    assert [rendering.rounded(n) for n in (0, 7, 999, 1000, 12_345, 999_960, 2.5e9)] == [
        "", "7", "999", "1.0k", "12k", "1.0M", "2.5G",
    ]  # fmt: skip
    assert [console.duration(s) for s in (0.4, 99, 100, 7200, 200_000)] == [
        "0 s", "99 s", "2 min", "2.0 h", "2.3 d",
    ]  # fmt: skip


def test_the_command_prints_a_table_or_json_with_what_was_measured(monkeypatch, tmp_path, no_loading):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    monkeypatch.setattr("gecalign.plan.costs.measure", lambda *_: RATES)
    shown = CliRunner().invoke(cli.app, ["plan", "--profile", "smollm-135m", "--set", "grpo.steps=7", "--json"])
    found = json.loads(shown.stdout)
    grpo = next(step for step in found["steps"] if step["name"] == "grpo")
    assert grpo["updates"] == 7
    assert found["totals"]["seconds"] == pytest.approx(sum(step["seconds"] for step in found["steps"]))
    assert found["rates"]["token"] == RATES.token
    table = CliRunner().invoke(cli.app, ["plan", "--profile", "smollm-135m", "--seeds", "2"])
    assert table.exit_code == 0
    assert "2 seeds" in table.stdout
    assert "Speed: measured here" in table.stdout.replace("\n", " ")


def test_a_gpu_elsewhere_is_planned_for_without_times(tmp_path):
    made = plan.make(Study("smollm-135m", 0, tmp_path), machine=plan.gpu(16))
    assert made.machine.name == "a GPU with 16 GB"
    assert made.seconds == 0
    assert not made.warnings
    table = shown(made, 100)
    assert "min" not in table
    assert "a GPU with 16 GB, arithmetic in bf16" in table


def test_batches_that_processes_cannot_share_are_warned_of(tmp_path):
    made = plan.make(Study("smollm-135m", 0, tmp_path), machine=gpu(23, processes=3))
    assert any("3 processes cannot share batches of 32 evenly" in words for words in made.warnings)


def test_the_reward_check_is_planned_with_the_trainer_that_it_goes_through(tmp_path):
    profile = config.LLAMA_1B.variant(lora__rank=0)
    shape = memory.shape(profile.model)
    trained = memory.state(shape, memory.Training("bf16", True)) + 2 * memory.weights(shape)
    assert steps(planned(profile, tmp_path, gpu(79)))["reward check"].memory > trained
