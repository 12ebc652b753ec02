"""Outputs of several systems compared by every yardstick, and said in words: for whoever trains nothing here.

`build` takes lists of strings and returns a `Report`: what the sentences can show, scores, differences to a baseline,
behaviour, and a verdict for each system. `inputs` reads files for it, `words` and `html` show it.
The numbers are those of `statistics.compare`, and speak of other *sentences*; of other training seeds they cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gecalign import config, metrics
from gecalign.corpus.texts import References, check_parallel
from gecalign.metrics.behaviour import Rates, behaviour, rates
from gecalign.metrics.edit_score import precision_recall_f
from gecalign.metrics.scores import METRICS, Array, Metric
from gecalign.report import markup
from gecalign.statistics import compare, design
from gecalign.statistics.compare import Difference, Equivalence, Interval
from gecalign.statistics.design import ALPHA, POWER
from gecalign.statistics.resampling import RESAMPLES, Resampling, ScoreFunction, influences
from gecalign.systems import LABELS

COPY = LABELS["copy"]  # the control that is always there: a system that does nothing
MARGIN = 0.5  # BLEU
EXAMPLES = 3  # sentences shown for a system, and as many against it

SCORES = {one.name: one.score for one in METRICS}

Kind = Literal["better", "worse", "equivalent", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """What the leading metric says of a system against the baseline."""

    kind: Kind
    text: str  # a sentence


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


def build(
    systems: Mapping[str, Sequence[str]],
    sources: Sequence[str],
    references: References,
    baseline: str | None = None,
    truncated: Mapping[str, Sequence[bool]] | None = None,
    margin: float = MARGIN,
    metric: str = metrics.bleu.name,
    resamples: int = RESAMPLES,
    seed: int = 0,
    notify: Callable[[str], object] = lambda _: None,
    notes: Sequence[str] = (),
) -> Report:
    """Compare systems with one of them on the same sentences, and all with doing nothing.

    Args:
        systems: what each wrote, by its name, a string a sentence.
        references: a string per sentence, or several strings per sentence.
        baseline: a name; None: the first one. It can also be `COPY`, which is there without being given.
        truncated: of some systems, whether decoding stopped at the length limit.
        margin: the largest difference of the leading metric that does not matter; to be stated before looking.
        metric: the name of the leading one.
        notify: is told what is under way.
        notes: what a reader has to know about the texts, in sentences.

    Raises:
        ValueError: a list has the wrong length or holds something that is not a string, a name is unknown or taken,
            there is nothing to compare, or a setting is out of range.
    """
    texts, several, sources = _checked(systems, sources, references)
    base = baseline if baseline is not None else next(iter(systems))
    if base not in texts:
        raise ValueError(f"the baseline {base!r} is none of the systems: {', '.join(texts)}.")
    lead, seed = _metric(metric), config.check_seed(seed)
    flags = truncated or {}
    if unknown := sorted(set(flags) - set(texts)):
        raise ValueError(f"truncated is given for {unknown[0]!r}, which is none of the systems: {', '.join(texts)}.")
    compared = [name for name in texts if name != base]
    _check_settings(margin, resamples, len(compared))
    how = Resampling(resamples, seed)

    counted: dict[str, dict[str, Array]] = {}
    scores: dict[str, dict[str, Interval]] = {}
    differences: dict[str, dict[str, Difference]] = {}
    signatures: dict[str, str] = {}
    for one in (lead, *(other for other in METRICS if other is not lead)):
        rows = {}
        for name, hypotheses in texts.items():
            notify(f"{one.name}: counting {name}")
            rows[name] = one.statistics(hypotheses, several, sources)
        others = {name: rows[name] for name in compared}
        signature = one.signature(_per_sentence(several))
        notify(f"{one.name}: {resamples:,} resamples for the scores")
        scores[one.name] = compare.intervals(rows, one.score, how, signature)
        notify(f"{one.name}: {resamples:,} resamples for the differences")
        differences[one.name] = compare.paired_differences(others, rows[base], one.score, how, signature)
        counted[one.name], signatures[one.name] = rows, signature

    notify("what systems do")
    leading, rows = differences[lead.name], counted[lead.name]
    given = [name for name in systems if name != base]
    visible = {one: _visible(counted[one], base, SCORES[one]) for one in differences}
    p_holm = {name: _holm({s: d.p_value for s, d in found.items()}) for name, found in differences.items()}
    equivalence = {name: compare.equivalence(leading[name], margin) for name in compared}
    equivalence_p = _holm({name: found.p_value for name, found in equivalence.items()})
    candidates = {name: rows[name] for name in systems}
    edits = {name: precision_recall_f(found.sum(axis=0)) for name, found in counted[metrics.edit_f05.name].items()}
    measured = {name: behaviour(texts[name], several, sources, flags.get(name)) for name in texts}
    return Report(
        n=len(sources),
        baseline=base,
        metric=lead.name,
        visible=visible,
        verdicts={
            name: _verdict(name, base, lead.name, leading[name], p_holm[lead.name][name], equivalence[name],
                           equivalence_p[name], visible[lead.name][name])
            for name in compared
        },
        scores=scores,
        differences=differences,
        p_holm=p_holm,
        changed={name: float(np.mean([a != b for a, b in zip(texts[name], texts[base], strict=True)]))
                 for name in compared},
        equivalence=equivalence,
        equivalence_p_holm=equivalence_p,
        edits={name: {"precision": float(p.precision), "recall": float(p.recall)} for name, p in edits.items()},
        rates={name: rates(one) for name, one in measured.items()},
        disagreements=_disagreements(differences, base),
        luck=compare.luck_of_choosing(candidates, lead.score, resamples, seed) if len(candidates) > 2 else None,
        examples={name: _examples(texts[name], texts[base], several, sources, rows[name], rows[base], lead)
                  for name in given},
        systems=tuple(texts),
        signatures=signatures,
        margin=margin,
        resamples=resamples,
        seed=seed,
        level=how.level,
        alpha=ALPHA,
        power=POWER,
        notes=tuple(map(markup.visible, notes)),
    )  # fmt: skip


def p_text(p: float) -> str:
    """Return a p-value as one writes it.

    >>> p_text(0.0000123), p_text(0.034), p_text(0.5)
    ('< 0.001', '0.034', '0.50')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _checked(
    systems: Mapping[str, Sequence[str]], sources: Sequence[str], references: References
) -> tuple[dict[str, list[str]], list[tuple[str, ...]], list[str]]:
    if not systems:
        raise ValueError("there is no system; expected what at least one wrote, by its name.")
    if COPY in systems:
        raise ValueError(
            f"{COPY!r} is the name of doing nothing, which is always compared; give that system (its file) "
            "another name."
        )
    _, several, sources = check_parallel(sources, references, sources)
    if len(sources) < 2:
        raise ValueError("there is one sentence; expected two or more: one cannot show how sentences vary.")
    texts = {COPY: list(sources)}
    for name, hypotheses in systems.items():
        try:
            texts[name] = check_parallel(hypotheses, several, sources)[0]
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return texts, several, sources


def _check_settings(margin: float, resamples: int, tests: int) -> None:
    if not margin > 0:
        raise ValueError(f"margin is {margin}; expected the largest difference that does not matter, above 0.")
    if tests and tests / (resamples + 1) > ALPHA:
        raise ValueError(
            f"resamples is {resamples}; expected at least {math.ceil(tests / ALPHA) - 1} for {tests} comparisons, or "
            "no p-value could be small enough, and thousands for a stable one."
        )


def _metric(name: str) -> Metric:
    for one in METRICS:
        if one.name.casefold() == name.casefold():
            return one
    raise ValueError(f"unknown metric {name!r}. Metrics: {', '.join(one.name for one in METRICS)}.")


def _per_sentence(several: Sequence[Sequence[str]]) -> int | None:
    counts = {len(references) for references in several}
    return counts.pop() if len(counts) == 1 else None


def _visible(counted: Mapping[str, Array], base: str, score: ScoreFunction) -> dict[str, float]:
    compared = [name for name in counted if name != base]
    tests = len([name for name in compared if name != COPY])
    return {
        name: design.smallest_visible_effect(
            len(counted[base]),
            compare.paired_sd(counted[name], counted[base], score),
            alpha=ALPHA if name == COPY else ALPHA / tests,  # what Holm's method asks of the first
        )
        for name in compared
    }


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct over the systems; doing nothing is a control, a question of its own, and costs them nothing."""
    return {**p_values, **compare.holm({name: p for name, p in p_values.items() if name != COPY})}


def _clear(one: Interval) -> bool:
    return one.low > 0 or one.high < 0


def _verdict(
    name: str, base: str, metric: str, found: Difference, p_holm: float, same: Equivalence, same_p: float,
    visible: float,
) -> Verdict:  # fmt: skip
    estimate = f"{found.estimate:+.2f} {metric}"
    evidence = (
        f"{whole_per_cent(found.interval.level)} interval {found.interval.low:+.2f} to {found.interval.high:+.2f}"
    )
    if found.share_changed == 0:
        return Verdict("equivalent", f"{name} is equivalent to {base}: {metric} sees no difference in any sentence.")
    small, p = same_p <= same.alpha, _equals(p_holm)
    if p_holm <= ALPHA and _clear(found.interval):
        kind: Kind = "better" if found.interval.low > 0 else "worse"
        aside = f", though by less than the margin of {same.margin:g}" if small else ""
        return Verdict(kind, f"{name} is {kind} than {base}{aside}: {estimate}, {evidence}, {p}.")
    if small:
        inner = f"{whole_per_cent(1 - 2 * same.alpha)} interval {same.low:+.2f} to {same.high:+.2f}"
        return Verdict("equivalent", f"{name} is equivalent to {base} within {same.margin:g} {metric}: {estimate}, "
                       f"{inner}, {_equals(same_p)}.")  # fmt: skip
    return Verdict(
        "unclear",
        f"{name} and {base} cannot be told apart by these {found.n:,} sentences: {estimate}, {evidence}, {p}; a "
        f"difference of {visible:.2f} {metric} would have been seen with {whole_per_cent(POWER)} power.",
    )


def _disagreements(differences: Mapping[str, Mapping[str, Difference]], base: str) -> dict[str, str]:
    words = {}
    for name in next(iter(differences.values())):
        by_metric = {metric: found[name] for metric, found in differences.items()}
        up = [metric for metric, one in by_metric.items() if one.estimate > 1e-9]  # 1e-9: rounding has a sign too
        down = [metric for metric, one in by_metric.items() if one.estimate < -1e-9]
        if not up or not down:
            continue
        better, worse = (
            _listed([f"{metric} {by_metric[metric].estimate:+.2f}" for metric in side]) for side in (up, down)
        )
        sure = [metric for metric in (*up, *down) if _clear(by_metric[metric].interval)]
        which = f"the interval{'s' * (len(sure) > 1)} of {_listed(sure)}" if sure else "no interval"
        verb = "exclude" if len(sure) > 1 else "excludes"
        words[name] = f"{name} is above {base} by {better}, but below it by {worse}; {which} {verb} 0."
    return words


def _examples(
    system: Sequence[str], baseline: Sequence[str], references: Sequence[tuple[str, ...]], sources: Sequence[str],
    rows: Array, base_rows: Array, metric: Metric,
) -> tuple[Contrast, ...]:  # fmt: skip
    pull = (influences(rows, metric.score) - influences(base_rows, metric.score)) / len(rows)
    differ = [int(i) for i in np.argsort(-pull, kind="stable") if system[i] != baseline[i]]
    most = [i for i in differ[:EXAMPLES] if pull[i] > 0] + [i for i in differ[-EXAMPLES:] if pull[i] < 0]
    return tuple(Contrast(i + 1, float(pull[i]), sources[i], references[i], baseline[i], system[i]) for i in most)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _equals(p: float) -> str:
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def whole_per_cent(value: float) -> str:
    """Return a share, 0-1, in per cent."""
    return f"{100 * value:.0f} %"
