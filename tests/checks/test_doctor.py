"""The doctor: which checks are made and when, those of preferences and rewards, and what the command shows."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
from examining import assert_found, patient
from typer.testing import CliRunner

from gecalign import cli, plan
from gecalign.checks import doctor
from gecalign.checks.patient import Check, Patient
from gecalign.preferences import reward_check
from gecalign.runtime import store
from gecalign.study import Study

BEFORE, AFTER = list(doctor.BEFORE_TRAINING), list(doctor.AFTER_SFT)


def test_a_study_in_order_passes_everything(study):
    told: list[str] = []
    found = [*doctor.before_training(study, told.append), *doctor.after_sft(study, told.append)]
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


# ---- preferences and rewards

FOUND = [
    (doctor.reward_signal, {"grpo__group_size": 8}, "warn", "reward_check__samples is 4, and groups have 8"),
    (doctor.reward_signal, {"grpo__reward": "exact"}, "fail", "next to nothing to learn"),
    (doctor.enough_pairs, {}, "pass", "pairs that were asked for"),
    (doctor.enough_pairs, {"pairs__count": 50}, "fail", "of the 50 pairs.*pairs__temperature"),
    (doctor.sampling_agrees, {}, "pass", "mean reward by our decoder"),
]


@pytest.mark.parametrize(("look", "changes", "status", "words"), FOUND)
def test_what_a_check_says_of_settings(study, look, changes, status, words):
    assert_found(look(patient(study, **changes)), status, words)


def test_rewards_that_were_checked_otherwise(study):
    found = doctor.reward_signal(patient(study, grpo__temperature=0.5))
    assert "GRPO will train at temperature 0.5" in found.words


def test_two_ways_of_sampling_that_differ(study, monkeypatch):
    ill = Patient(study)
    check = study.reward_check()
    worse = reward_check.RewardCheck(check.direct, check.direct - 0.1, check.greedy, check.reward)  # on every prompt
    monkeypatch.setattr(ill.study, "reward_check", lambda: worse, raising=False)
    assert_found(doctor.sampling_agrees(ill), "fail", r"They should be the same")


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
