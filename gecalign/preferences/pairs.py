"""Preference pairs: several samples of one model for one prompt, ranked by a reward.

Many prompts give no pair: the samples are equal, or equally good, or were cut off. What is dropped is
counted by reason, in a funnel (chapter 3). Pairs are stored as JSONL with the columns of `PreferencePair`, of
which TRL reads `prompt`, `chosen` and `rejected`:

    datasets.load_dataset("json", data_files="pairs.jsonl")
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gecalign import prompts
from gecalign.config import SELECTIONS, Pairs, Prompt
from gecalign.corpus.examples import Example
from gecalign.corpus.texts import Reference, as_reference, several
from gecalign.metrics.edit_score import corrections_made
from gecalign.preferences.rewards import Objective

# Why a prompt gives no pair, in the order in which it is looked for.
TRUNCATED = "too few complete samples"
IDENTICAL = "identical outputs"
TIE = "equal rewards"
CLOSE = "margin below threshold"
DROPPED = (TRUNCATED, IDENTICAL, TIE, CLOSE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One output that a model drew for a prompt; `truncated` where the length limit cut it off."""

    text: str
    tokens: int
    truncated: bool
    temperature: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a model drew for one example."""

    id: str
    source: str
    reference: Reference
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two completions of one prompt, the better and the worse one, with their rewards (0-1) and where they are from.

    `chosen` and `rejected` are completions as a model writes them, a blank in front and no EOS. A temperature is
    None for a text that no model drew.
    """

    id: str
    prompt: str
    chosen: str
    rejected: str
    source: str
    reference: Reference
    chosen_reward: float
    rejected_reward: float
    chosen_temperature: float | None
    rejected_temperature: float | None
    reward: str
    selection: str


@dataclass(frozen=True, slots=True)
class Funnel:
    """Where prompts were lost on the way to pairs: every prompt is in exactly one of the counts."""

    prompts: int
    dropped: dict[str, int]  # by reason, in the order of `DROPPED`
    pairs: int  # what is left, before any limit on their number
    samples: int
    truncated_samples: int

    def stages(self) -> dict[str, int]:
        """Return how many prompts are left after each filter, from all of them to the pairs."""
        left, stages = self.prompts, {"prompts": self.prompts}
        for reason in DROPPED:
            left -= self.dropped[reason]
            stages[f"without: {reason}"] = left
        return stages


def check(settings: Pairs) -> None:
    """Raise ValueError where samples cannot be drawn so: no two differ, or two temperatures get no equal number."""
    at = {"temperature": settings.temperature, "second_temperature": settings.second_temperature}
    at = {name: value for name, value in at.items() if value is not None}
    if settings.samples % len(at):
        raise ValueError(
            f"pairs__samples is {settings.samples}: two temperatures share the samples, so their number must be even."
        )
    each = settings.samples // len(at)
    if each > 1 and (cold := [name for name, value in at.items() if value == 0]):
        raise ValueError(
            f"pairs__{cold[0]} is 0, so that {each} samples of a prompt would all be the same, and there would be no "
            "pair. Set it above 0."
        )


def check_comparable(settings: Pairs) -> None:
    """Raise ValueError where a prompt has no two samples to make a pair of."""
    if settings.samples < 2 and settings.selection != "reference":
        raise ValueError(
            f"pairs__samples is {settings.samples}, and pairs__selection {settings.selection!r} compares two of a "
            "prompt. Draw more, or set pairs__selection to 'reference'."
        )


def build(
    sampled: Sequence[Sampled], settings: Pairs, objective: Objective, prompt: Prompt
) -> tuple[list[PreferencePair], Funnel]:
    """Return a pair for each prompt whose samples differ enough in reward, in order, and the funnel.

    Samples that were cut off are left out first: DPO would put an EOS behind them, and teach the model to stop
    in the middle of a sentence. `settings.selection` says which two of the others are compared:

    - "best-worst": the highest against the lowest reward;
    - "random": the first two, which are a random two;
    - "reference": the corpus's correction, whatever its reward, against the lowest.

    Raises:
        ValueError: an unknown selection, or a margin below 0.
    """
    _check(settings)
    found: list[PreferencePair] = []
    dropped: Counter[str] = Counter()
    for prompted in sampled:
        outcome = _pair(prompted, settings, objective, prompt)
        if isinstance(outcome, str):
            dropped[outcome] += 1
        else:
            found.append(outcome)
    drawn = [sample for prompted in sampled for sample in prompted.samples]
    cut = sum(sample.truncated for sample in drawn)
    return found, Funnel(len(sampled), {name: dropped[name] for name in DROPPED}, len(found), len(drawn), cut)


def best_samples(sampled: Sequence[Sampled], objective: Objective) -> list[Example]:
    """Return each prompt with its best complete sample as the demonstration; prompts without one are left out."""
    chosen = []
    for prompted in sampled:
        complete = [sample.text for sample in prompted.samples if not sample.truncated]
        if complete:
            n = len(complete)
            scores = objective(complete, [prompted.reference] * n, [prompted.source] * n)
            chosen.append(Example(prompted.id, prompted.source, prompted.reference, complete[int(scores.argmax())]))
    return chosen


def first_samples(sampled: Sequence[Sampled], objective: Objective | None = None) -> list[Example]:
    """Return each prompt with its first complete sample, which is a random one, whatever an objective says of it."""
    complete = [(p, [sample.text for sample in p.samples if not sample.truncated]) for p in sampled]
    return [Example(p.id, p.source, p.reference, texts[0]) for p, texts in complete if texts]


def cooler_chosen(pairs: Sequence[PreferencePair]) -> tuple[int, int]:
    """Return how many of the pairs drawn at two temperatures chose the cooler sample, and how many there are.

    Far from half of them, the pairs teach "be less random" along with "be right".
    """
    mixed = [pair for pair in pairs if pair.chosen_temperature != pair.rejected_temperature]
    return sum((p.chosen_temperature or 0) < (p.rejected_temperature or 0) for p in mixed), len(mixed)


def subjects(pairs: Sequence[PreferencePair], examples: Sequence[Example]) -> dict[str, int]:
    """Return what pairs are about: whether the chosen text corrects more of the errors than the rejected one.

    Where both correct as many, the rejected text does some other harm: a slip of the sampler, mostly.

    Raises:
        ValueError: the errors of a sentence are not recorded, as they are in TinyGEC.
    """
    edits = {example.id: example.edits for example in examples}
    counts = dict.fromkeys(("more errors corrected", "as many errors corrected", "fewer errors corrected"), 0)
    for pair in pairs:
        gold = edits[pair.id]
        if gold is None:
            raise ValueError(f"the errors of {pair.id} are not recorded; only a corpus such as TinyGEC knows them.")
        chosen, rejected = (
            sum(corrections_made(prompts.hypothesis(text), pair.source, gold)) for text in (pair.chosen, pair.rejected)
        )
        counts[list(counts)[1 + (rejected > chosen) - (chosen > rejected)]] += 1
    return counts


def read(path: Path) -> list[PreferencePair]:
    """Read pairs that were written as JSONL."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [PreferencePair(**row | {"reference": as_reference(row["reference"])}) for row in rows]


def read_sampled(path: Path) -> list[Sampled]:
    """Read samples that were written as JSONL."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        Sampled(
            row["id"], row["source"], as_reference(row["reference"]), tuple(Sample(**one) for one in row["samples"])
        )
        for row in rows
    ]


def _pair(prompted: Sampled, settings: Pairs, objective: Objective, prompt: Prompt) -> PreferencePair | str:
    complete = [sample for sample in prompted.samples if not sample.truncated]
    candidates = complete[:2] if settings.selection == "random" else complete
    if settings.selection == "reference":
        # the reference stands first, so that it is the best of equals
        candidates = [Sample(several(prompted.reference)[0], 0, False, 0.0), *candidates]
    if len(candidates) < 2:
        return TRUNCATED
    if len({sample.text for sample in candidates}) == 1:
        return IDENTICAL
    n = len(candidates)
    scores = objective([c.text for c in candidates], [prompted.reference] * n, [prompted.source] * n)
    chosen = 0 if settings.selection == "reference" else int(scores.argmax())
    rejected = int(scores.argmin())
    margin = scores[chosen] - scores[rejected]
    if margin <= 0:
        return TIE
    if margin < settings.minimum_margin:
        return CLOSE
    drawn = [None if settings.selection == "reference" and i == 0 else c.temperature for i, c in enumerate(candidates)]
    return PreferencePair(
        id=prompted.id,
        prompt=prompts.render(prompt, prompted.source),
        chosen=prompts.completion(candidates[chosen].text),
        rejected=prompts.completion(candidates[rejected].text),
        source=prompted.source,
        reference=prompted.reference,
        chosen_reward=round(float(scores[chosen]), 6),
        rejected_reward=round(float(scores[rejected]), 6),
        chosen_temperature=drawn[chosen],
        rejected_temperature=drawn[rejected],
        reward=objective.expression,
        selection=settings.selection,
    )


def _check(settings: Pairs) -> None:
    if settings.selection not in SELECTIONS:
        raise ValueError(f"unknown pairs__selection {settings.selection!r}. Selections: {', '.join(SELECTIONS)}.")
    if not 0 <= settings.minimum_margin < 1:
        raise ValueError(
            f"pairs__minimum_margin is {settings.minimum_margin}; rewards lie between 0 and 1, and so do margins."
        )
