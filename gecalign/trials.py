"""The experiment log: every setting that was tried, also those that failed, measured on dev only.

A trial is a changed profile, a seed and a system; its row says what the system scores under greedy and under
sampled decoding, and how much it gains over SFT that went on training for as many updates. Settings are
settled by these rows, never by the test set. `results/trials.csv` holds them, and the map of chapter 6 is drawn
from it:

    gecalign trial --set data.miss=0.6 --systems dpo,grpo --note "is DPO's learning rate too low?"
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import compare, config, metrics

if TYPE_CHECKING:
    import pandas as pd

    from gecalign.evaluation import SystemEvaluation
    from gecalign.study import Study

CONTROL = "sft-continued"
COLUMNS = (
    "profile", "changes", "seed", "system", "greedy_bleu", "sampled_bleu", "sft_greedy_bleu", "gain", "gain_low",
    "gain_high", "sampled_gain", "sampled_gain_low", "sampled_gain_high", "chosen_step", "updates", "tokens", "seconds",
    "n", "commit", "torch", "note",
)  # fmt: skip


def record(study: Study, systems: Sequence[str], log: Path, note: str = "") -> list[dict[str, Any]]:
    """Measure systems on dev and append a row for each to the log; what is in the log already is left out.

    Raises:
        ValueError: a system is unknown, or not trained.
    """
    known = {_key(row) for row in read_rows(log)}
    rows = []
    for system in systems:
        key = {
            "profile": study.profile.name,
            "changes": changes(study.profile),
            "seed": str(study.seed),
            "system": system,
        }
        if _key(key) in known:
            continue
        rows.append({**key, **measure(study, system), "note": note})
        _append(rows[-1], log)
    return rows


def measure(study: Study, system: str) -> dict[str, Any]:
    """Return the scores of a system on dev, greedy and sampled, and its gains over SFT continued."""
    sampling = replace(study.profile.decoding, temperature=1.0)
    greedy, sampled = study.evaluation(system, "dev"), study.evaluation(system, "dev", sampling)
    stage = study.trained(system)
    return {
        "greedy_bleu": _round(greedy.scores.scores["BLEU"].value),
        "sampled_bleu": _round(sampled.scores.scores["BLEU"].value),
        "sft_greedy_bleu": _round(study.evaluation("sft", "dev").scores.scores["BLEU"].value),
        **_gain("gain", greedy, study.evaluation(CONTROL, "dev")),
        **_gain("sampled_gain", sampled, study.evaluation(CONTROL, "dev", sampling)),
        "chosen_step": stage.facts["chosen_step"],
        "updates": stage.facts["updates"],
        "tokens": stage.facts["tokens"],
        "seconds": stage.record["seconds"],
        "n": greedy.scores.n,
        "commit": stage.record["commit"],
        "torch": stage.record["packages"]["torch"],
    }


def changes(profile: config.Profile) -> str:
    """Return as JSON how a profile differs from the one of its name, an entry for each changed value."""
    original = config.profile(profile.name)
    changed: dict[str, Any] = {}
    for part in fields(profile):
        old, new = getattr(original, part.name), getattr(profile, part.name)
        if old != new:
            before, after = asdict(old), asdict(new)
            changed |= {f"{part.name}.{name}": after[name] for name in after if after[name] != before[name]}
    return json.dumps(changed, sort_keys=True)


def read(log: Path) -> pd.DataFrame:
    """Return the log as a table, a row a trial; the changed settings that trials name become columns."""
    import pandas as pd

    table = pd.read_csv(log)
    return table.join(pd.DataFrame([json.loads(text) for text in table["changes"]], index=table.index))


def read_rows(log: Path) -> list[dict[str, str]]:
    """Return the rows of the log as text, none where there is no log yet."""
    if not log.exists():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("profile", "changes", "seed", "system"))


def _append(row: Mapping[str, Any], log: Path) -> None:
    fresh = not log.exists()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _gain(name: str, system: SystemEvaluation, control: SystemEvaluation) -> dict[str, float]:
    scored, base = (metrics.bleu.statistics(e.hypotheses, e.references) for e in (system, control))
    found = compare.paired_difference(scored, base, metrics.bleu.score)
    bounds = {f"{name}_low": found.interval.low, f"{name}_high": found.interval.high}
    return {name: _round(found.estimate)} | {column: _round(value) for column, value in bounds.items()}


def _round(value: float) -> float:
    return round(value, 3)
