"""Every check of the doctor: on a study that is as it should be, and on one with something made wrong on purpose."""

from __future__ import annotations

import json
import re
import types
import weakref
from collections.abc import Callable

import factories
import pytest
import torch
from typer.testing import CliRunner

from gecalign import cli, config, plan, prompts
from gecalign.checks import doctor, machine, texts, training
from gecalign.checks.patient import Check, Patient
from gecalign.models import loading
from gecalign.preferences import reward_check
from gecalign.runtime import processes, store
from gecalign.study import Study
from gecalign.training import dpo, rows, sft

BEFORE = [
    "versions",
    "device",
    "room",
    "prompts",
    "one prompt",
    "batches",
    "lengths",
    "token boundary",
    "labels",
    "weights",
]
AFTER = ["reference model", "reward signal", "two ways of sampling", "pairs", "outputs cut off"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("doctor")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    return Study(factories.preference_profile(factories.base_folder(folder / "base"), corpus), 0, folder / "runs")


def patient(study: Study, **changes: object) -> Patient:
    return Patient(study.variant(study.profile.variant(**changes)))


def other_prompt(study: Study, template: str) -> Patient:
    """Return a patient whose template nobody has validated."""
    ill = Patient(Study(study.profile, study.seed, study.root.parent))
    ill.study.profile = study.profile.variant(prompt__template=template)
    return ill


def assert_found(check: Check, status: str, words: str) -> None:
    assert check.status == status, check
    assert re.search(words, check.words), check.words


def test_a_study_in_order_passes_everything(study):
    told: list[str] = []
    found = doctor.examine(study, told.append)
    assert [check.name for check in found] == told == BEFORE + AFTER
    # `pairs` and the reward signal depend on what so small a model happens to learn
    assert {check.name: check.status for check in found if check.status == "fail"} == {}
    assert {c.name for c in found if c.status == "warn"} <= {"outputs cut off", "reward signal"}


def test_the_quick_checks_train_nothing(study, tmp_path):
    fresh = Study(study.profile, 0, tmp_path)
    assert len(doctor.before_training(fresh)) == len(BEFORE)
    assert [path.name.partition("-")[0] for path in fresh.root.glob("[!.]*")] == ["data"]


def test_a_check_that_raises_becomes_a_failure_and_leaves_the_others(study, monkeypatch):
    def broken(patient: Patient) -> Check:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setitem(doctor.BEFORE_TRAINING, "versions", broken)
    monkeypatch.setitem(doctor.BEFORE_TRAINING, "weights", broken)
    found = {check.name: check for check in doctor.before_training(study)}
    assert_found(found["versions"], "fail", "^could not be looked at: the disk is on fire$")
    assert_found(found["weights"], "fail", "^could not be looked at, as versions could not.$")
    assert found["labels"].status == "pass"


# ---- texts


def test_prompts_that_sft_has_seen(study):
    assert_found(texts.prompts_unseen(Patient(study)), "pass", "none of the prompts")
    assert_found(texts.prompts_unseen(patient(study, grpo__split="train")), "warn", "100% of the split train")


def with_text_column(rows: Callable) -> Callable:
    return lambda *args: [row | {"text": row["prompt"] + row["completion"]} for row in rows(*args)]


def test_labels_cover_the_completion_and_eos(study):
    assert_found(texts.labels(Patient(study)), "pass", r"SFT's .* exactly the completion .* DPO's")


def test_labels_without_eos_because_of_a_column_text(study, monkeypatch):
    monkeypatch.setattr(rows, "demonstrations", with_text_column(rows.demonstrations))
    assert_found(texts.labels(Patient(study)), "fail", "SFT's loss covers no EOS.*column text")


def test_labels_of_the_prompt(study, monkeypatch):
    asked_for = patient(study, sft__completion_only_loss=False)
    assert_found(texts.labels(asked_for), "warn", "covers the tokens of the prompt, too")
    ordinary = sft.SFTConfig
    monkeypatch.setattr(sft, "SFTConfig", lambda **given: ordinary(**given | {"completion_only_loss": False}))
    assert_found(texts.labels(Patient(study)), "fail", "'Fix grammar: .* and should cover ' ")


def test_labels_of_pairs_that_were_cut(study, monkeypatch):
    ordinary = dpo.DPOConfig
    monkeypatch.setattr(dpo, "DPOConfig", lambda **given: ordinary(**given | {"max_length": 40}))
    assert_found(texts.labels(Patient(study)), "fail", "DPO's loss covers no EOS")


def test_a_template_that_ends_inside_a_token(study, monkeypatch):
    assert_found(texts.boundary(Patient(study)), "pass", "all of 24 rows")
    monkeypatch.setattr(prompts, "completion", lambda text: text)  # the blank stands in the template instead
    found = texts.boundary(other_prompt(study, "Fix grammar: {source}\nCorrected: "))
    assert_found(
        found, "fail", r"in \d+ of 24 rows a token spans .* alone it ends in ': ', with a completion .* ': [\w ]+'"
    )


def test_a_tokenizer_that_gives_back_another_text(study, monkeypatch):
    ill = Patient(study)
    ordinary = ill.tokenizer.decode
    monkeypatch.setattr(ill.tokenizer, "decode", lambda *args, **kwargs: ordinary(*args, **kwargs).replace(" a", "a"))
    assert_found(texts.boundary(ill), "fail", "gives another text back than it was given")


def test_one_prompt_for_all_that_was_made(study):
    study.samples()
    assert_found(texts.same_prompt(Patient(study)), "pass", r"^\d+ products")
    other = patient(study, prompt__template="Correct: {source}\nCorrected:", sft__steps=1)
    assert_found(texts.same_prompt(other), "warn", r"(\d+) products .* \1 of them were made with another .*/sft-")


def test_a_model_that_was_asked_with_another_prompt(study, tmp_path):
    own = Study(study.profile.variant(sft__steps=1), 0, tmp_path)
    mismatched = config.Prompt("Mend: {source}\nNow:")
    own.evaluation("sft", "dev", prompt=mismatched, allow_other_prompt=True)
    assert_found(texts.same_prompt(Patient(own)), "warn", "seed-0/sft-dev-.*asked with another prompt")
    planned = own.variant(config.dataclasses.replace(own.profile, mismatched_prompt=mismatched))
    assert texts.same_prompt(Patient(planned)).status == "pass"


def test_a_product_that_was_made_from_another_prompts(study, tmp_path):
    own = Study(study.profile.variant(sft__steps=1), 0, tmp_path)
    path = own.samples().folder / "stage.json"
    record = json.loads(path.read_text())
    record["spec"]["prompt"] = "0" * 12
    path.write_text(json.dumps(record))
    assert_found(texts.same_prompt(Patient(own)), "fail", "seed-0/samples-.*made with another prompt than")


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "pass", "drops 0 of 24 rows.*0 of 8 references.*fits into the model's context of 256"),
        ({"sft__max_length": 30}, "fail", r"drops \d+ of 24 rows as longer than sft__max_length, 30"),
        ({"decoding__max_new_tokens": 6}, "fail", r"8 of 8 references of dev.*perfect corrections would score \d+\.\d"),
        ({"decoding__max_new_tokens": 240}, "fail", "does not fit into the model's context of 256"),
    ],
)
def test_limits_on_length(study, changes, status, words):
    assert_found(texts.lengths(patient(study, **changes)), status, words)


def test_outputs_that_are_cut_off(study):
    study.samples()
    cut = texts.outputs(patient(study, decoding__max_new_tokens=3))
    assert_found(cut, "fail", "cut off at decoding__max_new_tokens, 3: [1-8] of 8 outputs on dev.*limit too low")
    assert "samples" not in cut.words.partition("dev")[2].partition(".")[0]  # nobody has drawn any under this limit
    assert re.search(r"\d+ of 8 outputs on dev, \d+ of 64 samples", texts.outputs(Patient(study)).words)


# ---- training


def test_weights_in_32_bits_move(study):
    found = training.weights(Patient(study))
    assert_found(found, "pass", r"^float32; .* 100% by SFT \(rate 0.01\), 100% by DPO .*bfloat16: 100%")


def test_weights_in_16_bits_hardly_move(study, monkeypatch):
    ill = patient(study, dpo__learning_rate=5e-6, grpo__learning_rate=1e-5)
    model, tokenizer = study.model("base")
    ill.base = (model.to(torch.bfloat16), tokenizer)
    found = training.weights(ill)
    assert_found(found, "fail", r"^bfloat16; .* by DPO \(rate 5e-06\).*Load weights in 32 bits")
    assert int(re.search(r"(\d+)% by DPO", found.words)[1]) < 20


def test_rates_that_even_32_bits_lose(study):
    assert_found(training.weights(patient(study, grpo__learning_rate=1e-12)), "warn", "raise them")


def test_the_reference_model_is_where_training_starts(study):
    found = training.reference(Patient(study))
    assert_found(found, "pass", r"a loss of 0\.6931 .* of 0\.0000 nats")


def test_adapters(study):
    adapted = patient(study, lora__rank=4)
    assert_found(training.reference(adapted), "pass", r"a loss of 0\.6931 .* of 0\.0000 nats")
    # of a fresh pair of matrices only one has a gradient, and that one is 0: it moves in any precision
    assert_found(training.weights(adapted), "pass", r"100% by GRPO .*bfloat16: 100%, 100%, 100%")
    assert texts.labels(adapted).status == "pass"


@pytest.mark.parametrize("method", ["DPO", "GRPO"])
def test_a_reference_model_that_is_the_base(study, monkeypatch, method):
    ill, loaded = Patient(study), []

    def reloading(system: str):
        loaded.append(system)  # policy and reference of DPO, then those of GRPO
        return Study.model(study, "base" if len(loaded) == {"DPO": 2, "GRPO": 4}[method] else system)

    monkeypatch.setattr(ill.study, "model", reloading, raising=False)
    found = training.reference(ill)
    assert_found(found, "fail", "another model than the one that training starts from")
    loss, divergence = re.search(r"loss of ([\d.]+) .* model of ([\d.]+) nats", found.words).groups()
    assert (abs(float(loss) - 0.6931) > 0.01) == (method == "DPO")
    assert (float(divergence) > 0.01) == (method == "GRPO")


def test_a_reference_model_that_trl_loads_itself(study, monkeypatch):
    """With beta above 0 it does so from the path that the model remembers."""
    assert training.reference(patient(study, grpo__beta=0.1)).status == "pass"
    ill = patient(study, grpo__beta=0.1)

    def forgetful(system: str):
        model, tokenizer = Study.model(study, system)
        model.config._name_or_path = study.profile.model.name
        return model, tokenizer

    monkeypatch.setattr(ill.study, "model", forgetful, raising=False)
    found = training.reference(ill)
    assert_found(found, "fail", r"a loss of 0\.6931 .*which may be the base")


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "pass", "SFT: 60 updates of 8 rows, 20.0 passes over 24 .*DPO: 2 updates of 4 pairs.*128 samples in all"),
        ({"grpo__group_size": 3}, "fail", "no multiple of grpo__group_size, 3"),
        ({"grpo__updates_per_generation": 2}, "warn", "moved on"),
        ({"grpo__batch_size": 400}, "fail", "takes 100 prompts, and the split preference has 16"),
        ({"sft__micro_batch_size": 3}, "fail", "SFT: the batch .* is 8, no multiple of sft__micro_batch_size, 3"),
        ({"dpo__warmup_steps": 2}, "warn", "DPO: .*warm-up takes 2, so the learning rate is never reached"),
    ],
)
def test_batches(study, changes, status, words):
    assert_found(training.batches(patient(study, **changes)), status, words)


def test_batches_that_processes_cannot_share(study, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert_found(training.batches(Patient(study)), "pass", "8 rows.*, 4 in each of 2 processes")
    monkeypatch.setattr(processes, "count", lambda: 3)
    assert_found(training.batches(Patient(study)), "fail", "SFT: .*3 processes cannot share evenly")


# ---- the machine


def test_versions(study, monkeypatch, tmp_path):
    assert_found(machine.versions(Patient(study)), "pass", r"trl 1\.\d+.*as in requirements.txt")
    monkeypatch.setattr(machine, "PINS", tmp_path / "absent.txt")
    assert "requirements.txt" not in machine.versions(Patient(study)).words
    (tmp_path / "pins.txt").write_text("# a comment\n\nnumpy==1.0.0  # old\nno-such-package==1\n")
    monkeypatch.setattr(machine, "PINS", tmp_path / "pins.txt")
    assert_found(machine.versions(Patient(study)), "warn", r"numpy \S+ \(==1.0.0 is pinned\)")


@pytest.mark.parametrize(
    ("changes", "installed", "words"),
    [
        ({}, {"trl": "1.10.0"}, "trl 1.10.0 is installed, and the code needs >=1.16,<2"),
        ({}, {"trl": None}, "trl is not installed"),
        ({"lora__rank": 8}, {"peft": None}, "peft is not installed, and lora__rank asks for it .TRL takes peft>="),
        ({"engine__sampler": "vllm-colocate"}, {"vllm": None}, "vllm is not installed, and engine__sampler"),
        ({"engine__sampler": "vllm-server"}, {"vllm": "0.10.0"}, "vllm 0.10.0 is installed, and TRL takes vllm.*0.22"),
        ({"engine__report_to": "tensorboard,wandb"}, {"wandb": None}, "wandb is not installed, and engine__report_to"),
    ],
)
def test_packages_that_are_missing_or_of_another_version(study, monkeypatch, changes, installed, words):
    ordinary = machine._installed
    there = {"tensorboard": "2.20.0"} | installed
    monkeypatch.setattr(machine, "_installed", lambda name: there[name] if name in there else ordinary(name))
    assert_found(machine.versions(patient(study, **changes)), "fail", words)


def test_extras_that_are_there(study, monkeypatch, tmp_path):
    ordinary = machine._installed
    there = {"peft": "0.19.0", "vllm": "0.25.0", "trackio": "1.0"}
    monkeypatch.setattr(machine, "_installed", lambda name: there.get(name) or ordinary(name))
    monkeypatch.setattr(machine, "PINS", tmp_path / "absent.txt")
    asking = patient(study, lora__rank=8, engine__sampler="vllm-colocate", engine__report_to="trackio")
    assert machine.versions(asking).status == "pass"


@pytest.fixture
def planned(monkeypatch) -> Callable:
    """Return a function that sets what the plan says of the training of SFT, and of DPO after it."""

    def planning(seconds: float = 60.0, disk: int = 10**6, memory: int = 10**6, micro_batch: int | None = 8) -> None:
        machine = plan.Machine("a machine", False, "fp32", free=4 * 10**9)
        steps = (
            plan.Step("sft", "sft", 0, 60, disk=disk, memory=memory, micro_batch=micro_batch, seconds=seconds / 2),
            plan.Step("samples", "random-of-k", 0, seconds=seconds / 4),
            plan.Step("dpo", "dpo", 0, 60, micro_batch=8, seconds=seconds / 4),
        )
        monkeypatch.setattr(plan, "make", lambda study, rates: plan.Plan("a profile", 1, machine, steps, 0, ()))

    return planning


@pytest.mark.parametrize(
    ("needs", "status", "words"),
    [
        ({"disk": 2 * 10**9}, "pass", r"^disk: about 2.0 GB of 10.0 GB that are free. RAM: at the most 1 MB of 4.0 GB"),
        ({"disk": 11 * 10**9}, "fail", "11.0 GB of 10.0 GB that are free: too little. .*GECALIGN_RUNS"),
        ({"disk": 9 * 10**9}, "warn", "9.0 GB of 10.0 GB that are free: tight"),
        ({"memory": 5 * 10**9}, "fail", r"5.0 GB of 4.0 GB \(sft\): too little. .*gradient_checkpointing"),
        ({"micro_batch": None}, "fail", "not even one row of sft fits"),
    ],
)
def test_room(study, planned, monkeypatch, needs, status, words):
    planned(**needs)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=10e9))
    assert_found(machine.room(Patient(study)), status, words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "pass", "^0 M parameters on cpu, computing in fp32.$"),
        ({"engine__precision": "fp16"}, "fail", "fp16 is for GPUs"),
        ({"engine__sampler": "vllm-colocate"}, "fail", "needs a GPU"),
        ({"engine__sampler": "vllm-server", "engine__vllm_url": "http://127.0.0.1:9"}, "fail", "No server .* at http"),
        (
            {"model__name": "HuggingFaceTB/SmolLM-135M"},
            "warn",
            "^135 M .*Without a GPU the whole study takes about 3 hours",
        ),
    ],
)
def test_a_device_that_does_not_suit(study, planned, changes, status, words):
    planned(seconds=3 * 3600)
    assert_found(machine.device(patient(study, **changes)), status, words)


def test_bf16_that_is_emulated(study, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert_found(machine.device(patient(study, engine__precision="bf16")), "warn", "CPU has no bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert machine._precision("bf16", gpu=True)[0][0] == "fail"
    assert machine._precision("fp16", gpu=True) == []


def test_gpus_that_lie_idle_or_are_shared(study, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert_found(machine.device(Patient(study)), "warn", "2 GPUs are there, and 1 are used: .*torchrun")
    monkeypatch.setattr(processes, "count", lambda: 4)
    monkeypatch.setattr(loading, "device", lambda: torch.device("cpu"))
    assert_found(machine.device(Patient(study)), "fail", "4 processes share 2 GPUs")


# ---- preferences and rewards


def test_groups_that_are_larger_than_what_was_checked(study):
    found = doctor.reward_signal(patient(study, grpo__group_size=8))
    assert_found(found, "warn", "reward_check__samples is 4, and groups have 8")


def test_rewards_that_were_checked_otherwise(study):
    found = doctor.reward_signal(patient(study, grpo__temperature=0.5))
    assert "GRPO will train at temperature 0.5" in found.words


def test_a_reward_without_signal(study):
    assert_found(doctor.reward_signal(patient(study, grpo__reward="exact")), "fail", "next to nothing to learn")


def test_two_ways_of_sampling_that_differ(study, monkeypatch):
    ill = Patient(study)
    assert doctor.sampling_agrees(ill).status == "pass"
    check = study.reward_check()
    worse = reward_check.RewardCheck(check.direct, check.direct - 0.1, check.greedy, check.reward)  # on every prompt
    monkeypatch.setattr(ill.study, "reward_check", lambda: worse, raising=False)
    assert_found(doctor.sampling_agrees(ill), "fail", r"They should be the same")


def test_too_few_pairs(study):
    assert doctor.enough_pairs(Patient(study)).status == "pass"
    assert_found(doctor.enough_pairs(patient(study, pairs__count=50)), "fail", "of the 50 pairs.*pairs__temperature")


# ---- before a long run


@pytest.fixture
def looked_at(monkeypatch) -> list[str]:
    """Replace all checks by ones that pass, and return the names of those that were made."""
    made: list[str] = []

    def passing(name: str) -> Callable:
        return lambda patient: made.append(name) or Check(name, "pass", "all is well")

    for checks in (doctor.BEFORE_TRAINING, doctor.AFTER_SFT):
        for name in checks:
            monkeypatch.setitem(checks, name, passing(name))
    return made


def test_what_is_quick_is_not_examined(study, planned, looked_at, tmp_path):
    planned(seconds=doctor.LONG - 1)
    doctor.guard(Study(study.profile, 0, tmp_path), ["sft", "dpo"])
    planned(seconds=2 * doctor.LONG - 1)
    doctor.guard(Study(study.profile, 0, tmp_path), ["sft"])  # not with what comes after it
    doctor.guard(Study(study.profile, 0, tmp_path), ["grpo"])
    assert looked_at == []
    doctor.guard(Study(study.profile, 0, tmp_path), ["pairs"])
    assert looked_at == BEFORE


def test_a_small_model_is_planned_for_without_measuring_and_after_its_corpus(study, monkeypatch, tmp_path):
    asked = []

    def planning(study: Study, rates):
        asked.append(rates)
        if not list(study.root.glob("data-*")):
            raise ValueError("nothing is known about the corpus")
        return "planned"

    monkeypatch.setattr(plan, "make", planning)
    assert Patient(Study(study.profile, 0, tmp_path)).plan == "planned"
    assert asked[0].token > 0
    large = study.profile.variant(model__name="HuggingFaceTB/SmolLM-135M")
    assert Patient(Study(large, 0, tmp_path)).plan == "planned"
    assert asked[-1] is None


def test_what_is_made_already_is_not_examined(study, planned, looked_at):
    planned(seconds=1e6)
    study.sft()
    doctor.guard(study, ["copy", "base", "sft"])
    doctor.guard(study, ["data"])
    assert looked_at == []


@pytest.mark.parametrize(
    ("products", "after"),
    [
        (["sft"], []),
        (["pairs"], []),
        (["dpo"], ["reference model", "pairs", "outputs cut off"]),
        (["grpo"], ["reference model", "reward signal", "two ways of sampling", "outputs cut off"]),
        (["sft-continued"], ["reference model", "outputs cut off"]),
        (["sft", "dpo", "grpo"], AFTER),
    ],
)
def test_a_long_run_is_examined_before_it_begins(
    study, planned, looked_at, capsys, monkeypatch, tmp_path, products, after
):
    planned(seconds=2 * doctor.LONG + 1)
    long, trained = Study(study.profile, 0, tmp_path), []
    monkeypatch.setattr(long, "sft", lambda: trained.append(list(looked_at)), raising=False)
    doctor.guard(long, products)
    assert looked_at == BEFORE + after
    assert trained == ([BEFORE] if after else [])  # SFT, once what comes before it is known to be in order
    assert capsys.readouterr().err == ""


def test_a_long_run_with_a_fault_is_refused_and_the_fault_named(
    study, planned, looked_at, capsys, monkeypatch, tmp_path
):
    planned(seconds=2 * doctor.LONG + 1)
    monkeypatch.setitem(doctor.BEFORE_TRAINING, "labels", lambda patient: Check("labels", "fail", "no EOS"))
    monkeypatch.setitem(doctor.BEFORE_TRAINING, "device", lambda patient: Check("device", "warn", "slow"))
    with pytest.raises(doctor.Refused, match=r"1 of the checks before training fail \(labels; .*--skip-checks"):
        doctor.guard(Study(study.profile, 0, tmp_path), ["sft"])
    assert capsys.readouterr().err.splitlines() == ["[doctor] WARN  device: slow", "[doctor] FAIL  labels: no EOS"]


# ---- the command


@pytest.fixture
def invoked(monkeypatch, looked_at, tmp_path) -> Callable:
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_the_command_prints_a_line_a_check_and_fails_where_one_does(invoked, looked_at, monkeypatch):
    done = invoked("doctor", "--profile", "smoke", "--quick")
    assert done.exit_code == 0, done.output
    assert looked_at == BEFORE
    assert done.stdout.splitlines() == [f"PASS  {name}: all is well" for name in BEFORE]
    monkeypatch.setitem(doctor.BEFORE_TRAINING, "labels", lambda patient: Check("labels", "fail", "[bold]no[/] EOS"))
    failing = invoked("doctor", "--profile", "smoke", "--quick")
    assert failing.exit_code == 1
    assert "FAIL  labels: [bold]no[/] EOS" in failing.stdout


def test_on_a_terminal_the_command_prints_a_table(looked_at, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    doctor.show([Check("labels", "pass", "[bold]exactly[/]"), Check("room", "fail", "too little " * 20)])
    shown = capsys.readouterr().out
    assert "\x1b[32mPASS" in shown
    assert "\x1b[1;31mFAIL" in shown
    assert "[bold]exactly[/]" in shown  # words of data are no markup
    assert len(shown.splitlines()) > 3  # wrapped within its column


@pytest.mark.parametrize(
    ("command", "systems"),
    [
        (["run", "dpo"], ["dpo"]),
        (["run", "all"], ["copy", "base", "sft", "sft-continued", "dpo", "grpo"]),
        (["study", "--seeds", "2"], ["sft", "grpo-shuffled"]),
        (["book"], ["dpo", "grpo"]),
    ],
)
def test_commands_that_may_take_long_ask_the_doctor(invoked, monkeypatch, command, systems):
    asked: list[list[str]] = []

    def refusing(study: Study, products) -> None:
        asked.append(list(products))
        raise doctor.Refused("the doctor refuses")

    monkeypatch.setattr(doctor, "guard", refusing)
    done = invoked(*command, "--profile", "smollm-135m")
    assert "the doctor refuses" in str(done.exception)
    assert set(systems) <= set(asked[0])
    if command[0] == "run":
        assert asked[0] == systems
    skipped = invoked(*command, "--profile", "smollm-135m", "--skip-checks", "--no-such-option")
    assert "--no-such-option" in skipped.output  # the option before it is known
    assert len(asked) == 1


def test_the_checks_can_be_skipped(invoked, monkeypatch):
    monkeypatch.setattr(doctor, "guard", lambda *_: pytest.fail("asked all the same"))
    assert invoked("run", "data", "--profile", "smoke", "--skip-checks").exit_code == 0


def test_a_process_that_alone_cannot_make_a_check_does_not_go_on_without_the_others(study, monkeypatch):
    def unlucky(patient: Patient) -> Check:
        raise store.StageError("another process is making it")

    def ill(patient: Patient) -> Check:
        raise ValueError("a setting is wrong, in every process")

    found = doctor._examined(Patient(study), {"a": unlucky, "b": ill})
    assert [check.status for check in found] == ["fail", "fail"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert doctor._examined(Patient(study), {"b": ill})[0].status == "fail"
    with pytest.raises(store.StageError):
        doctor._examined(Patient(study), {"a": unlucky})


def test_the_model_that_was_examined_is_let_go_before_sft_is_trained(study, planned, monkeypatch, tmp_path):
    planned(seconds=2 * doctor.LONG + 1)
    held: list[weakref.ref] = []

    def looking(patient: Patient) -> Check:
        held.append(weakref.ref(patient))
        return Check("weights", "pass", "")

    long = Study(study.profile, 0, tmp_path)
    monkeypatch.setattr(doctor, "BEFORE_TRAINING", {"weights": looking})
    monkeypatch.setattr(doctor, "AFTER_SFT", {})
    monkeypatch.setattr(long, "sft", lambda: held.append(held[0]()), raising=False)
    doctor.guard(long, ["dpo"])
    assert held[1] is None
