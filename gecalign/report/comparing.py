"""Outputs of several systems compared by every yardstick, and said in words: for whoever trains nothing here.

`build` takes lists of strings and returns a `Report`: what the sentences can show, scores, differences to a baseline,
behaviour, and a verdict for each system. `inputs` reads files for it, `words` and `html` show it.
The numbers are those of `statistics.compare`, and speak of other *sentences*; of other training seeds they cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gecalign import config, metrics
from gecalign.corpus.texts import check_parallel
from gecalign.metrics.behaviour import Rates, behaviour, rates
from gecalign.metrics.edit_score import precision_recall_f
from gecalign.metrics.scores import Array, Metric, metrics_of
from gecalign.report import markup
from gecalign.report.inputs import COPY, Inputs
from gecalign.report.verdicts import Evidence, Verdict, disagreements, verdict
from gecalign.statistics import compare, design
from gecalign.statistics.compare import Difference, Equivalence, Interval
from gecalign.statistics.design import ALPHA, POWER
from gecalign.statistics.resampling import LEVEL, RESAMPLES, Resampling, influences

EXAMPLES = 3  # sentences shown for a system, and as many against it

Notify = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Settings:
    """How systems are compared; to be stated before looking."""

    baseline: str | None = None  # a name; None: the first system. It can also be `COPY`, which is there unasked
    metric: str = metrics.bleu.name  # the leading one
    margin: float = 0.5  # the largest difference of the leading metric that does not matter
    resamples: int = RESAMPLES
    seed: int = 0
    tokenized: bool = False  # texts are tokens with blanks between them, and are split there alone


@dataclass(frozen=True)
class Contrast:
    """A sentence on which a system and the baseline differ, and what it adds to their difference."""

    number: int  # counted from 1
    pull: float  # in units of the leading metric; those of all sentences sum to about the difference
    source: str
    references: tuple[str, ...]
    baseline: str
    system: str


@dataclass(frozen=True)
class Report:
    """Systems compared on the same sentences. Mappings are by metric (the leading one first), by system, or both.

    Doing nothing is the first of the systems; what is about a difference leaves the baseline out.
    """

    n: int  # sentences
    baseline: str
    metric: str  # the leading one: verdicts, equivalence and examples are about it
    visible: dict[str, dict[str, float]]  # the smallest true difference that would be found with 80 % power
    verdicts: dict[str, Verdict]
    scores: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Difference]]
    p_holm: dict[str, dict[str, float]]  # corrected over the systems; that of doing nothing is not one of them
    changed: dict[str, float]  # share of outputs that are not the baseline's, 0-1
    equivalence: dict[str, Equivalence]
    equivalence_p_holm: dict[str, float]
    edits: dict[str, dict[str, float]]  # precision and recall, 0-100
    rates: dict[str, Rates]
    disagreements: dict[str, str]  # where metrics differ about the sign of a difference, in words
    luck: float | None  # by how much the best of three or more would flatter itself, were all equally good
    examples: dict[str, tuple[Contrast, ...]]
    systems: tuple[str, ...]
    signatures: dict[str, str]
    margin: float
    resamples: int
    seed: int
    level: float
    alpha: float
    power: float
    notes: tuple[str, ...] = ()  # on the texts, see `gecalign.corpus.sentences`


def build(inputs: Inputs, settings: Settings = Settings(), notify: Notify = lambda _: None) -> Report:
    """Compare systems with one of them on the same sentences, and all with doing nothing.

    Args:
        notify: is told what is under way.

    Raises:
        ValueError: a list has the wrong length or holds something that is not a string, a name is unknown or taken,
            there is nothing to compare, or a setting is out of range.
    """
    texts, used = _checked(inputs, settings.baseline), metrics_of(settings.tokenized)
    lead = _metric(settings.metric, used)
    settings = _checked_settings(settings, len(texts.compared))
    measured = {
        one.name: _measured(one, texts, settings, notify)
        for one in (lead, *(other for other in used if other is not lead))
    }
    notify("what systems do")
    leading, edits = measured[lead.name], measured[metrics.edit_f05.name].rows
    equivalence = {name: compare.equivalence(one, settings.margin) for name, one in leading.differences.items()}
    equivalence_p = _holm({name: found.p_value for name, found in equivalence.items()})
    evidence = {
        name: Evidence(one, leading.p_holm[name], leading.visible[name], equivalence[name], equivalence_p[name])
        for name, one in leading.differences.items()
    }
    differences = {name: one.differences for name, one in measured.items()}
    given = {name: leading.rows[name] for name in inputs.systems}
    luck = compare.luck_of_choosing(given, lead.score, settings.resamples, settings.seed) if len(given) > 2 else None
    return Report(
        n=len(texts.sources),
        baseline=texts.baseline,
        metric=lead.name,
        visible={name: one.visible for name, one in measured.items()},
        verdicts={name: verdict(name, texts.baseline, lead.name, one) for name, one in evidence.items()},
        scores={name: one.scores for name, one in measured.items()},
        differences=differences,
        p_holm={name: one.p_holm for name, one in measured.items()},
        changed={name: texts.share_changed(name) for name in texts.compared},
        equivalence=equivalence,
        equivalence_p_holm=equivalence_p,
        edits={name: _precision_and_recall(rows) for name, rows in edits.items()},
        rates={
            name: rates(behaviour(outputs, texts.references, texts.sources, inputs.truncated.get(name)))
            for name, outputs in texts.outputs.items()
        },
        disagreements=disagreements(differences, texts.baseline),
        luck=luck,
        examples={name: _examples(name, texts, leading) for name in given if name != texts.baseline},
        systems=tuple(texts.outputs),
        signatures={name: one.signature for name, one in measured.items()},
        margin=settings.margin,
        resamples=settings.resamples,
        seed=settings.seed,
        level=LEVEL,
        alpha=ALPHA,
        power=POWER,
        notes=tuple(map(markup.visible, inputs.notes)),
    )


# ---- what is compared


@dataclass(frozen=True, slots=True)
class _Texts:
    """What systems wrote, doing nothing first, in lists that fit together; and whom all are compared with."""

    outputs: dict[str, list[str]]
    references: list[tuple[str, ...]]
    sources: list[str]
    baseline: str

    @property
    def compared(self) -> list[str]:
        return [name for name in self.outputs if name != self.baseline]

    def share_changed(self, name: str) -> float:
        pairs = zip(self.outputs[name], self.outputs[self.baseline], strict=True)
        return float(np.mean([a != b for a, b in pairs]))


def _checked(inputs: Inputs, baseline: str | None) -> _Texts:
    if not inputs.systems:
        raise ValueError("there is no system; expected what at least one wrote, by its name.")
    if COPY in inputs.systems:
        raise ValueError(
            f"{COPY!r} is the name of doing nothing, which is always compared; give that system (its file) "
            "another name."
        )
    _, several, sources = check_parallel(inputs.sources, inputs.references, inputs.sources)
    if len(sources) < 2:
        raise ValueError("there is one sentence; expected two or more: one cannot show how sentences vary.")
    texts = {COPY: list(sources)}
    for name, hypotheses in inputs.systems.items():
        try:
            texts[name] = check_parallel(hypotheses, several, sources)[0]
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    base = baseline if baseline is not None else next(iter(inputs.systems))
    if base not in texts:
        raise ValueError(f"the baseline {base!r} is none of the systems: {', '.join(texts)}.")
    if unknown := sorted(set(inputs.truncated) - set(texts)):
        raise ValueError(f"truncated is given for {unknown[0]!r}, which is none of the systems: {', '.join(texts)}.")
    return _Texts(texts, several, sources, base)


def _checked_settings(settings: Settings, tests: int) -> Settings:
    if not 0 < settings.margin < 100:
        raise ValueError(
            f"margin is {settings.margin}; expected the largest difference that does not matter, above 0 and below 100."
        )
    if tests and (settings.resamples < 1 or tests / (settings.resamples + 1) > ALPHA):
        raise ValueError(
            f"resamples is {settings.resamples}; expected at least {math.ceil(tests / ALPHA) - 1} for {tests} "
            "comparisons, or no p-value could be small enough, and thousands for a stable one."
        )
    return replace(settings, seed=config.check_seed(settings.seed))


def _metric(name: str, known: Sequence[Metric]) -> Metric:
    for one in known:
        if one.name.casefold() == name.casefold():
            return one
    raise ValueError(f"unknown metric {name!r}. Metrics: {', '.join(one.name for one in known)}.")


# ---- by one metric


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one metric says of all systems, and of their differences to the baseline."""

    metric: Metric
    signature: str
    rows: dict[str, Array]  # sentence statistics, (n, k)
    scores: dict[str, Interval]
    differences: dict[str, Difference]
    p_holm: dict[str, float]
    visible: dict[str, float]


def _measured(metric: Metric, texts: _Texts, settings: Settings, notify: Notify) -> _Measured:
    how = Resampling(settings.resamples, settings.seed)
    rows = {}
    for name, hypotheses in texts.outputs.items():
        notify(f"{metric.name}: counting {name}")
        rows[name] = metric.statistics(hypotheses, texts.references, texts.sources)
    base, others = rows[texts.baseline], {name: rows[name] for name in texts.compared}
    counts = {len(references) for references in texts.references}
    signature = metric.signature(counts.pop() if len(counts) == 1 else None)
    notify(f"{metric.name}: {how.resamples:,} resamples for the scores")
    scores = compare.intervals(rows, metric.score, how, signature)
    notify(f"{metric.name}: {how.resamples:,} resamples for the differences")
    found = compare.paired_differences(others, base, metric.score, how, signature)
    tests = len([name for name in others if name != COPY])
    visible = {
        name: design.smallest_visible_effect(
            len(base),
            compare.paired_sd(other, base, metric.score),
            alpha=ALPHA if name == COPY else ALPHA / tests,  # what Holm's method asks of the first
        )
        for name, other in others.items()
    }
    p_holm = _holm({name: one.p_value for name, one in found.items()})
    return _Measured(metric, signature, rows, scores, found, p_holm, visible)


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct over the systems; doing nothing is a control, a question of its own, and costs them nothing."""
    return {**p_values, **compare.holm({name: p for name, p in p_values.items() if name != COPY})}


def _precision_and_recall(rows: Array) -> dict[str, float]:
    found = precision_recall_f(rows.sum(axis=0))
    return {"precision": float(found.precision), "recall": float(found.recall)}


def _examples(name: str, texts: _Texts, lead: _Measured) -> tuple[Contrast, ...]:
    system, baseline = texts.outputs[name], texts.outputs[texts.baseline]
    ours, theirs = (influences(lead.rows[one], lead.metric.score) for one in (name, texts.baseline))
    pull = (ours - theirs) / len(ours)
    differ = [int(i) for i in np.argsort(-pull, kind="stable") if system[i] != baseline[i]]
    most = [i for i in differ[:EXAMPLES] if pull[i] > 0] + [i for i in differ[-EXAMPLES:] if pull[i] < 0]
    return tuple(
        Contrast(i + 1, float(pull[i]), texts.sources[i], texts.references[i], baseline[i], system[i]) for i in most
    )
