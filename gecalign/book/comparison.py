"""The study's own comparison: all systems over all seeds, as the tables, figures and sentences of chapters 7 and 8.

Everything is computed from the predictions in `gecalign.study.results`, by `gecalign.statistics.seeds`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from gecalign import metrics
from gecalign.metrics.behaviour import Behaviour
from gecalign.report.verdicts import p_text
from gecalign.runtime import store
from gecalign.statistics import compare, seeds
from gecalign.statistics.compare import Difference, Interval
from gecalign.statistics.design import ALPHA
from gecalign.statistics.resampling import LEVEL
from gecalign.study import tables
from gecalign.study.results import Results
from gecalign.systems import COMPARED, CONTROL, LABELS, SYSTEMS, UNTRAINED

RARE = 10  # sentences a run; below it, rates get another interval
BEHAVIOURS = {
    "loops": lambda b: b.looped,
    "cut off": lambda b: b.truncated,
    "over-corrected": lambda b: b.over_corrected,
    "copied": lambda b: b.copied,
    "exactly right": lambda b: b.exact,
}  # fmt: skip


def described() -> str:
    """Return what each system is, as a table in Markdown: a row a system."""
    return tables.in_markdown(["system", "what it is"], [[LABELS[name], SYSTEMS[name].about] for name in COMPARED])


def budgets(results: Results) -> pd.DataFrame:
    """Return what each trained system cost beyond SFT, means over seeds; tokens in thousands. See `accounts.budget`."""
    trained = [name for name in COMPARED if name not in UNTRAINED]
    means = results.budget.groupby("system", sort=False).mean(numeric_only=True).drop(columns="seed").loc[trained]
    means[["sampled tokens", "trained tokens"]] /= 1000
    short = {"sampled tokens": "sampled", "trained tokens": "trained"}
    shown = means.rename(columns=short).map(lambda value: f"{value:,.0f}")
    return shown.rename(index=LABELS).rename_axis(index=None)


def intervals(
    results: Results, metric: metrics.Metric = metrics.bleu, systems: Sequence[str] = COMPARED, split: str = "test"
) -> dict[str, Interval]:
    """Return each system's mean score over seeds with its 95 % interval, for other seeds and other sentences."""
    return {
        name: seeds.interval(
            results.statistics(metric, name, split),
            metric.score,
            signature=results.record["signatures"].get(metric.name, ""),
        )
        for name in systems
    }


def scores(results: Results, systems: Sequence[str] = COMPARED) -> pd.DataFrame:
    """Return every yardstick of every system on the test set, means over seeds.

    BLEU has half of its 95 % interval behind it, and the standard deviation over seeds beside it.
    """
    per_seed = {
        (metric.name, name): metric.score(results.statistics(metric, name).sum(axis=1))
        for metric in metrics.METRICS
        for name in systems
    }
    rows = {}
    for name, bleu in intervals(results, metrics.bleu, systems).items():
        values = per_seed["BLEU", name]
        row = {
            "BLEU": f"{bleu.estimate:.1f} ± {bleu.high - bleu.estimate:.1f}",
            "sd": f"{values.std(ddof=1):.1f}" if np.ptp(values) else "",
        }
        row |= {m.name: f"{per_seed[m.name, name].mean():.1f}" for m in metrics.METRICS if m is not metrics.bleu}
        rows[LABELS[name]] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def differences(
    results: Results,
    baseline: str = CONTROL,
    metric: metrics.Metric = metrics.bleu,
    systems: Sequence[str] | None = None,
    split: str = "test",
    decoding: str = "greedy",
) -> dict[str, Difference]:
    """Return each system's difference to a baseline in a metric, over seeds and sentences, by the system's name."""
    chosen = [name for name in systems or COMPARED if name != baseline]
    return seeds.paired_differences(
        {name: results.statistics(metric, name, split, decoding) for name in chosen},
        results.statistics(metric, baseline, split, decoding),
        metric.score,
        signature=results.record["signatures"].get(metric.name, ""),
    )


def significant(found: Mapping[str, Difference]) -> set[str]:
    """Return the names of the differences that are found at 5 %, corrected for their number (Holm)."""
    corrected = compare.holm({name: one.p_value for name, one in found.items()})
    return {name for name, p in corrected.items() if p <= ALPHA}


def labelled(found: Mapping[str, Difference]) -> dict[str, Difference]:
    """Return differences by the readers' names of the systems."""
    return {LABELS[name]: one for name, one in found.items()}


def difference_table(found: Mapping[str, Difference]) -> pd.DataFrame:
    """Return differences as a table: estimate and half of the 95 % interval, range over seeds, p (Holm, over the rows).

    For intervals by Student's t, which lie evenly around the estimate.
    """
    corrected = compare.holm({name: one.p_value for name, one in found.items()})
    rows = {
        LABELS.get(name, name): {
            "difference": f"{one.estimate:+.2f} ± {one.interval.high - one.estimate:.2f}",
            "seeds": f"{min(one.per_seed):+.1f} to {max(one.per_seed):+.1f}",
            "p (Holm)": p_text(corrected[name]),
        }
        for name, one in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def by_metric(results: Results, systems: Sequence[str]) -> dict[str, dict[str, Difference]]:
    """Return differences to the control by every yardstick: by metric, then by system."""
    return {metric.name: differences(results, CONTROL, metric, systems) for metric in metrics.METRICS}


def metric_table(found: Mapping[str, Mapping[str, Difference]]) -> pd.DataFrame:
    """Return differences by metric, a column a metric; a star where one is found, corrected for all in the table."""
    cells = {(metric, name): one for metric, by_system in found.items() for name, one in by_system.items()}
    corrected = compare.holm({f"{metric} {name}": one.p_value for (metric, name), one in cells.items()})
    rows: dict[str, dict[str, str]] = {}
    for (metric, name), one in cells.items():
        star = "*" if corrected[f"{metric} {name}"] <= ALPHA else ""
        rows.setdefault(LABELS[name], {})[metric] = f"{one.estimate:+.2f}{star}"
    return pd.DataFrame.from_dict(rows, orient="index")


def dev_against_test(results: Results) -> pd.DataFrame:
    """Return dev BLEU of the chosen checkpoint and test BLEU of the same model: a row a system and seed.

    Columns: system, seed, dev, test, and what is above the control of the same seed: dev gain, test gain.
    """
    greedy = results.scores[results.scores["decoding"] == "greedy"]
    wide = greedy.pivot_table("BLEU", ["system", "seed"], "split").dropna()
    control = wide.loc[CONTROL]
    gains = wide.sub(control, level="seed").rename(columns=lambda split: f"{split} gain")
    rows = wide.join(gains).reset_index()
    order = {name: place for place, name in enumerate(COMPARED)}
    rows = rows[rows["system"].isin([name for name in COMPARED if name not in UNTRAINED])]
    return rows.sort_values(["system", "seed"], key=lambda c: c.map(order) if c.name == "system" else c)


def rate_intervals(
    results: Results, flags: Callable[[Behaviour], np.ndarray], among: Callable[[Behaviour], np.ndarray] | None = None
) -> dict[str, Interval]:
    """Return the share of sentences, in per cent, that show a behaviour: mean over seeds with its 95 % interval.

    Where a run shows fewer than ten, no t-interval is to be trusted: the interval is then Clopper and Pearson's, for as
    many sentences as one run has, as if the seeds had told the same thing.

    Args:
        flags: of the behaviour of one run, an entry a sentence.
        among: which sentences are asked about; None: all. The share is of these.
    """
    found = {}
    for name in COMPARED:
        rows = []
        for seed in results.seeds:
            measured = results.outputs(name, seed).behaviour
            asked = np.ones(len(measured.copied)) if among is None else among(measured).astype(float)
            rows.append(np.column_stack([flags(measured) * asked, asked]))
        found[name] = _rate(np.array(rows))
    return found


def _rate(rows: metrics.Array) -> Interval:
    shown, asked = rows.sum(axis=1).mean(axis=0)
    if RARE <= shown <= asked - RARE:
        found = seeds.interval(rows, _per_cent)
        return replace(found, low=max(0.0, found.low), high=min(100.0, found.high))
    low, high = _clopper_pearson(shown, asked)
    return Interval(100 * low, 100 * high, 100 * shown / asked, "Clopper-Pearson", int(asked), 0, LEVEL, len(rows))


def _clopper_pearson(shown: float, asked: float) -> tuple[float, float]:
    from scipy import stats

    tail = (1 - LEVEL) / 2
    low = 0.0 if shown == 0 else float(stats.beta.ppf(tail, shown, asked - shown + 1))
    return low, 1.0 if shown == asked else float(stats.beta.ppf(1 - tail, shown + 1, asked - shown))


def _per_cent(totals: npt.ArrayLike) -> metrics.Array:
    totals = np.asarray(totals)
    return 100 * totals[..., 0] / totals[..., 1]


def bleu_scores(results: Results) -> dict[str, dict[str, object]]:
    """Return BLEU of every system on the test set, 0-1 as the published study has it: mean, each seed, n, signature."""
    found = {}
    for name in COMPARED:
        rows = results.statistics(metrics.bleu, name)
        values = metrics.bleu.score(rows.sum(axis=1)) / 100
        found[name] = {
            "label": LABELS[name],
            "bleu": round(float(values.mean()), 4),
            "by_seed": dict(zip(map(str, results.seeds), values.round(4).tolist(), strict=True)),
            "n": rows.shape[1],
            "signature": results.record["signatures"]["BLEU"],
        }
    return found


def save_bleu_scores(results: Results) -> None:
    """Write `bleu_scores.json` into the project that one works in."""
    text = json.dumps(bleu_scores(results), indent=1) + "\n"
    store.write_text(store.project_folder() / "bleu_scores.json", text)
