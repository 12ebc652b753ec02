"""What would make a long training worthless, looked for before it starts: `gecalign doctor`.

Each check passes, warns or fails, and says what to do. Some need no training (`before_training`), others ask the SFT
model, and are made before DPO and GRPO begin (`after_sft`). Chapter 5 explains the reward check, chapter 6 the
arithmetic of GRPO's batches. The checks themselves: `gecalign.checks.texts`, `gecalign.checks.training`,
`gecalign.checks.machine`, and those below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gecalign import settings
from gecalign.checks import machine, texts, training
from gecalign.checks.patient import Check, Patient, Status, quiet
from gecalign.preferences import reward_check
from gecalign.runtime import bars, processes, store
from gecalign.study.stages import TRAINED
from gecalign.systems import UNTRAINED

if TYPE_CHECKING:
    from gecalign.plan.steps import Plan
    from gecalign.study import Study

LEAST_PAIRS = 100  # with fewer, an epoch of DPO has a handful of updates
LONG = 600  # seconds; what takes longer is examined first
COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}

Tell = Callable[[str], None]  # is told what is looked at next


class Refused(RuntimeError):
    """A check failed, so a long run was not begun."""


# ---- checks of preferences and rewards, which ask the SFT model


def reward_signal(patient: Patient) -> Check:
    """Whether the rewards of the frozen SFT model's samples differ within groups."""
    checked, grpo = patient.profile.reward_check, patient.profile.grpo
    if checked.samples < grpo.group_size:
        words = f"not checked: reward_check__samples is {checked.samples}, and groups have {grpo.group_size}. Raise it."
        return Check("reward signal", "warn", words)
    found = reward_check.verdict(patient.study.reward_check().direct, grpo.group_size)
    drawn, trained = (f"temperature {s.temperature}, top_p {s.top_p}" for s in (checked, grpo))
    note = "" if drawn == trained else f" (Checked at {drawn}; GRPO will train at {trained}.)"
    return Check("reward signal", found.status, found.words + note)


def sampling_agrees(patient: Patient) -> Check:
    """Whether GRPO's trainer samples from the same distribution as the decoder that pairs are drawn with."""
    check = patient.study.reward_check()
    mean, error = check.difference
    words = f"mean reward by our decoder minus the trainer's: {mean:+.4f}, standard error {error:.4f}."
    if check.agree:
        return Check("two ways of sampling", "pass", words)
    return Check("two ways of sampling", "fail", f"{words} They should be the same: compare the limit on new tokens, "
                 "the prompt, and what else the two ways of sampling set.")  # fmt: skip


def enough_pairs(patient: Patient) -> Check:
    """Whether DPO has as many preference pairs as it is to be given."""
    wanted, found = patient.profile.pairs.count, patient.study.pairs().facts["pairs"]
    words = f"{found} of the {wanted} pairs that were asked for."
    if found >= wanted:
        return Check("pairs", "pass", words)
    status: Status = "warn" if found >= min(LEAST_PAIRS, wanted) else "fail"
    return Check("pairs", status, f"{words} Sample more (pairs__prompts, pairs__samples) or warmer "
                 "(pairs__temperature).")  # fmt: skip


# ---- all of them, in order

Examination = Callable[[Patient], Check]

BEFORE_TRAINING: dict[str, Examination] = {
    "versions": machine.versions,
    "device": machine.device,
    "room": machine.room,
    "prompts": texts.prompts_unseen,
    "references": texts.references,
    "one prompt": texts.same_prompt,
    "batches": training.batches,
    "lengths": texts.lengths,
    "token boundary": texts.boundary,
    "labels": texts.labels,
    "weights": training.weights,
}
AFTER_SFT: dict[str, Examination] = {
    "reference model": training.reference,
    "reward signal": reward_signal,
    "two ways of sampling": sampling_agrees,
    "pairs": enough_pairs,
    "outputs cut off": texts.outputs,
}
CONCERNS = {"reward signal": "grpo", "two ways of sampling": "grpo", "pairs": "dpo"}  # where not all that follow SFT
FROM_THE_BASE = ("sft", "sft-unmasked")
OF_SAMPLES = ("samples", "pairs", "dpo", "raft", "random")  # how products are called that need the samples of SFT


def before_training(study: Study, tell: Tell = lambda name: None) -> list[Check]:
    """Return the checks that need no training; they take seconds."""
    with quiet():
        return _examined(Patient(study), BEFORE_TRAINING, tell)


def after_sft(study: Study, tell: Tell = lambda name: None) -> list[Check]:
    """Return the checks that ask the SFT model; trains it, draws samples and makes pairs if that was not done yet."""
    return _examined(Patient(study), AFTER_SFT, tell)


def _examined(patient: Patient, examinations: Mapping[str, Examination], tell: Tell = lambda name: None) -> list[Check]:
    found: list[Check] = []
    same: dict[str, str] = {}  # what was raised -> the check that it was raised in first
    for name, look in examinations.items():
        tell(name)
        try:
            found.append(look(patient))
        except Exception as error:  # one check that cannot be made must not hide what the others find
            if processes.count() > 1 and not isinstance(error, ValueError):
                raise  # of this process alone, it may be: the others would wait for it in the midst of the check
            words = str(error) or type(error).__name__
            first = same.setdefault(words, name)
            found.append(Check(name, "fail", f"could not be looked at: {words}" if first == name else
                               f"could not be looked at, as {first} could not."))  # fmt: skip
    return found


# ---- before a long run


def guard(study: Study, products: Sequence[str]) -> None:
    """Examine a study before products are made that take long; print warnings and failures, on standard error.

    What needs the SFT model is looked at once that is trained, which is done here, and before anything else is.

    Raises:
        Refused: a check failed.
    """
    products = [name for name in products if name not in ("data", *UNTRAINED)]
    if not products or _made(study, products):
        return
    patient = Patient(study)
    if max(processes.gather([_left(patient.plan, products)])) < LONG:
        return
    with quiet():
        _stop(_examined(patient, BEFORE_TRAINING), "before training")
    del patient  # and its model: the training needs the memory
    if after := [name for name in products if name in TRAINED and name not in FROM_THE_BASE]:
        study.sft()
        looked_at = {
            name: look for name, look in AFTER_SFT.items()
            if any(product.startswith(CONCERNS.get(name, "")) for product in after)
        }  # fmt: skip
        _stop(_examined(Patient(study), looked_at), "of the SFT model")


def _left(made: Plan, products: Sequence[str]) -> float:
    """Return the seconds that products and what they need will take."""
    paired = any(name.startswith(OF_SAMPLES) for name in products)
    return sum(
        step.left for step in made.steps
        if step.system in ("", "sft", *products) or (paired and step.name in ("samples", "pairs"))
    )  # fmt: skip


def _made(study: Study, products: Sequence[str]) -> bool:
    """Whether all of them are there already."""
    try:
        with store.only_existing():
            for name in products:
                study.product(name)
    except store.NotMade:
        return False
    return True


def _stop(found: Sequence[Check], when: str) -> None:
    for check in found:
        if check.status != "pass":
            processes.say(f"[doctor] {line(check)}")
    # several processes go on, or stop, together
    failed = [name for names in processes.gather([[c.name for c in found if c.status == "fail"]]) for name in names]
    if failed:
        raise Refused(
            f"{len(set(failed))} of the checks {when} fail ({', '.join(dict.fromkeys(failed))}; see above). Mend what "
            "they name, or go on all the same with --skip-checks."
        )


# ---- showing


def with_progress(study: Study, quick: bool) -> list[Check]:
    """Return all checks of a study, or the quick ones, and say on standard error meanwhile what is looked at."""
    from rich.console import Console

    console = Console(stderr=True, quiet=not bars.watched())
    with console.status("[doctor]", spinner="line") as status:
        found = before_training(study, lambda name: status.update(f"looking at: {name}"))
    if not quick:  # trainings and samplings have progress bars of their own
        found += after_sft(study, lambda name: processes.say(f"[doctor] looking at: {name}"))
    return found


def show(found: Sequence[Check]) -> None:
    """Print checks on standard output: a table on a terminal, elsewhere a line each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not processes.is_main():
        return
    if not console.is_terminal:
        print("\n".join(line(check) for check in found))
        return
    table = Table("", "check", "what was found", box=None, header_style="dim", pad_edge=False)
    for check in found:
        words = settings.as_typed(check.words)
        table.add_row(Text(check.status.upper(), COLOURS[check.status]), Text(check.name), Text(words))
    console.print(table)


def line(check: Check) -> str:
    """Return a check as a line of text, with settings as they are given in a shell."""
    return f"{check.status.upper():<5} {check.name}: {settings.as_typed(check.words)}"
