"""What would make a long training worthless, looked for before it starts: `gecalign doctor`.

Each check passes, warns or fails, and says what to do. Chapter 5 explains the reward check, chapter 6 the
arithmetic of GRPO's batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gecalign import reward_check

if TYPE_CHECKING:
    from gecalign.study import Study

LEAST_PAIRS = 100  # with fewer, an epoch of DPO has a handful of updates


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what came out."""

    name: str
    status: Literal["pass", "warn", "fail"]
    words: str


def examine(study: Study) -> list[Check]:
    """Return all checks of a study, cheapest first; trains SFT if that was not done yet."""
    return [prompts_unseen(study), batches(study), reward_signal(study), sampling_agrees(study), enough_pairs(study)]


def prompts_unseen(study: Study) -> Check:
    """Whether pairs and rewards ask about prompts that SFT has not been trained on."""
    trained = {example.source for example in study.examples("train")}
    shares = {
        split: sum(example.source in trained for example in study.examples(split)) / max(len(study.examples(split)), 1)
        for split in {study.profile.pairs.split, study.profile.grpo.split}
    }
    seen = {split: share for split, share in shares.items() if share > 0}
    if not seen:
        return Check("prompts", "pass", "SFT has seen none of the prompts that pairs and rewards ask about.")
    words = ", ".join(f"{share:.0%} of the split {split}" for split, share in seen.items())
    return Check("prompts", "warn", f"SFT was trained on {words}: what it knows by heart gives few pairs and silent "
                 "groups. Set pairs__split and grpo__split to preference, and data__preference_rows.")  # fmt: skip


def batches(study: Study) -> Check:
    """Whether GRPO's batches divide into groups, and what the training will take."""
    from gecalign import train

    try:
        plan = train.grpo_plan(study.profile.grpo)
    except ValueError as error:
        return Check("batches", "fail", str(error))
    stale = plan["updates_a_generation"] > 1
    return Check("batches", "warn" if stale else "pass", f"GRPO: {train.plan_in_words(plan)}.")


def reward_signal(study: Study) -> Check:
    """Whether the rewards of the frozen SFT model's samples differ within groups."""
    checked, grpo = study.profile.reward_check, study.profile.grpo
    if checked.samples < grpo.group_size:
        words = f"not checked: reward_check__samples is {checked.samples}, and groups have {grpo.group_size}. Raise it."
        return Check("reward signal", "warn", words)
    found = reward_check.verdict(study.reward_check().direct, grpo.group_size)
    drawn, trained = (f"temperature {s.temperature}, top_p {s.top_p}" for s in (checked, grpo))
    note = "" if drawn == trained else f" (Checked at {drawn}; GRPO will train at {trained}.)"
    return Check("reward signal", found.status, found.words + note)


def sampling_agrees(study: Study) -> Check:
    """Whether GRPO's trainer samples from the same distribution as the decoder that pairs are drawn with."""
    check = study.reward_check()
    mean, error = check.difference
    words = f"mean reward by our decoder minus the trainer's: {mean:+.4f}, standard error {error:.4f}."
    if check.agree:
        return Check("two ways of sampling", "pass", words)
    return Check("two ways of sampling", "fail", f"{words} They should be the same: compare the limit on new tokens, "
                 "the prompt, and what else the two ways of sampling set.")  # fmt: skip


def enough_pairs(study: Study) -> Check:
    """Whether DPO has as many preference pairs as it is to be given."""
    wanted, found = study.profile.pairs.count, study.pairs().facts["pairs"]
    words = f"{found} of the {wanted} pairs that were asked for."
    if found >= wanted:
        return Check("pairs", "pass", words)
    status: Literal["warn", "fail"] = "warn" if found >= min(LEAST_PAIRS, wanted) else "fail"
    return Check("pairs", status, f"{words} Sample more (pairs__prompts, pairs__samples) or warmer "
                 "(pairs__temperature).")  # fmt: skip
