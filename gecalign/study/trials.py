"""The experiment log: every setting that was tried, also those that failed, measured on dev only.

A trial is a changed profile, a seed and a system; its row says what the system scores under greedy and under
sampled decoding, and how much it gains over SFT that went on training for as many updates. Settings are
settled by these rows, never by the test set. `results/trials.csv` holds them; the map of chapter 6 is drawn from it:

    gecalign trial --set dpo.learning_rate=0.001 --systems dpo --note "is DPO's learning rate too low?"
    gecalign map
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, metrics
from gecalign.corpus import rowfiles
from gecalign.runtime import files, processes
from gecalign.settings import settings_digest
from gecalign.statistics import compare
from gecalign.study import tables
from gecalign.study.stages import TRAINED, Study
from gecalign.systems import CONTROL

if TYPE_CHECKING:
    import pandas as pd

    from gecalign.study.evaluation import SystemEvaluation

# What trials have changed so far; each is a column, so that a row says what it measured whatever the defaults become.
# `digest` covers every value of the profile.
SETTINGS = (
    "data.miss", "sft.steps", "sft.learning_rate", "continued.learning_rate",
    "pairs.split", "pairs.prompts", "pairs.samples", "pairs.temperature", "pairs.second_temperature",
    "pairs.selection", "pairs.reward", "pairs.minimum_margin", "pairs.count",
    "dpo.epochs", "dpo.learning_rate", "dpo.beta",
    "grpo.split", "grpo.steps", "grpo.group_size", "grpo.batch_size", "grpo.updates_per_generation",
    "grpo.learning_rate", "grpo.temperature", "grpo.reward", "grpo.loss", "grpo.beta",
)  # fmt: skip
RESULTS = (
    "metric", "greedy", "last", "sampled", "sft_greedy", "gain", "gain_low", "gain_high",
    "sampled_gain", "sampled_gain_low", "sampled_gain_high", "greedy_corrected", "sampled_corrected",
    "chosen_step", "updates", "tokens", "seconds", "n", "commit", "torch",
)  # fmt: skip
KEY = ("profile", "digest", "seed", "system")  # what tells trials apart
COLUMNS = (*KEY, *SETTINGS, *RESULTS, "note")

# The map of chapter 6.
MAP_MISS = (0.0, 0.3, 0.5, 0.6)  # share of errors left in the demonstrations
MAP_STEPS = (200, 600, 1800)  # updates of SFT
MAP_SYSTEMS = ("sft", "sft-continued", "dpo", "grpo", "sft-careful")


def record(
    study: Study, systems: Sequence[str], log: Path, note: str = "", greedy_only: bool = False
) -> list[dict[str, Any]]:
    """Measure systems on dev and append a row for each to the log; what is in the log already is left out.

    A row with all scores takes the place of one with greedy scores only.

    Args:
        greedy_only: no sampling, and no gain over SFT continued, which would have to be trained for it.

    Raises:
        ValueError: a system is unknown, or not trained; the log is another file, or cannot be written.
    """
    if unknown := [system for system in systems if system not in TRAINED]:
        raise ValueError(f"{unknown[0]!r} is no trained system. Trained systems: {', '.join(TRAINED)}.")
    files.check_file(log, "--log")
    known = processes.from_main(lambda: {_key(row) for row in read_rows(log) if greedy_only or row["gain"]})
    rows = []
    for system in dict.fromkeys(systems):
        key = {
            "profile": study.profile.name,
            "digest": settings_digest(study.profile),
            "seed": str(study.seed),
            "system": system,
            **settings(study.profile),
        }
        if _key(key) in known:
            processes.say(f"{system}: these settings are in {log} already.")
            continue
        rows.append({**key, **measure(study, system, greedy_only), "note": note})
        _append(rows[-1], log)
    return rows


def measure(study: Study, system: str, greedy_only: bool = False) -> dict[str, Any]:
    """Return what a system scores on dev, greedy and sampled, and its gains over SFT continued.

    All are by the profile's yardstick, and of the checkpoint that was chosen but for `last`, the greedy score at the
    end of training.

    Args:
        greedy_only: what was sampled, and all gains, stay empty.
    """
    metric = study.profile.yardstick.metric
    greedy, stage = study.evaluation(system, "dev"), study.trained(system)
    corrected, found = {"greedy_corrected": greedy}, dict[str, Any](dict.fromkeys(RESULTS, ""))
    if not greedy_only:
        sampling = replace(study.profile.decoding, temperature=1.0)
        sampled = study.evaluation(system, "dev", sampling)
        corrected |= {"sampled_corrected": sampled}
        found |= {
            "sampled": _score(sampled, metric),
            **_gain("gain", greedy, study.evaluation(CONTROL, "dev"), metric),
            **_gain("sampled_gain", sampled, study.evaluation(CONTROL, "dev", sampling), metric),
        }
    return found | {
        "metric": metric,
        "greedy": _score(greedy, metric),
        "last": _round(study.log(system)[f"eval_{metric}"].dropna().iloc[-1]),
        "sft_greedy": _score(study.evaluation("sft", "dev"), metric),
        **_corrected(study, corrected),
        "chosen_step": stage.facts["chosen_step"],
        "updates": stage.facts["updates"],
        "tokens": stage.facts["tokens"],
        "seconds": stage.record["seconds"],
        "n": greedy.scores.n,
        "commit": stage.record["commit"],
        "torch": stage.record["packages"]["torch"],
    }


def _corrected(study: Study, evaluations: Mapping[str, SystemEvaluation]) -> dict[str, float | str]:
    examples = study.examples("dev")
    if any(example.edits is None for example in examples):  # only TinyGEC knows its errors
        return dict.fromkeys(evaluations, "")
    return {name: _round(tables.errors_corrected(found, examples)) for name, found in evaluations.items()}


def settings(profile: config.Profile) -> dict[str, str]:
    """Return the settings that the log names, as it writes them; one that is None is empty."""
    values = {address: getattr(getattr(profile, address.split(".")[0]), address.split(".")[1]) for address in SETTINGS}
    return {address: "" if value is None else str(value) for address, value in values.items()}


def of_map(study: Study, miss: float, steps: int) -> Study:
    """Return the study of one cell of the map: demonstrations that leave this share of the errors, SFT this long.

    Raises:
        ValueError: the corpus has no annotator who could leave errors.
    """
    if study.profile.data.source != "tinygec":
        raise ValueError(
            f"the map needs demonstrations that leave a given share of the errors, which only TinyGEC can make; "
            f"profile {study.profile.name} has those of {study.profile.data.source}. Take a profile such as tiny."
        )
    return study.variant(study.profile.variant(data__miss=miss, sft__steps=steps))


def read(log: Path) -> pd.DataFrame:
    """Return the log as a table, a row a trial."""
    import pandas as pd

    rows = pd.read_csv(log, dtype={"digest": str})  # some look like numbers, 12e34567890 among them
    return rows.drop_duplicates(list(KEY), keep="last", ignore_index=True)


def read_rows(log: Path) -> list[dict[str, str]]:
    """Return the rows of the log as text, none where there is no log yet.

    Raises:
        ValueError: the file is no such log.
    """
    rows = rowfiles.read_table(log, COLUMNS) if log.exists() else []
    if rows and list(rows[0]) != list(COLUMNS):
        found = next((name for name in rows[0] if name not in COLUMNS), "other columns, or another order")
        raise ValueError(
            f"{log} is no experiment log of this version: it has {found}; expected the columns {', '.join(COLUMNS)}. "
            "Give another file (--log): a new one is made."
        )
    as_text = [{name: str(value) for name, value in row.items()} for row in rows]
    return list({_key(row): row for row in as_text}.values())  # the last one with its settings


def varying(log: pd.DataFrame, profile: config.Profile, system: str, *free: str, seed: int = 0) -> pd.DataFrame:
    """Return the trials of a system that have the profile's own settings but for those named in `free`.

    Those with greedy scores only, or by another metric, cannot stand beside the others.
    """
    fixed = {name: value for name, value in settings(profile).items() if name not in free}
    texts = log.astype(object).where(log.notna(), "").map(str)
    chosen = (texts["profile"] == profile.name) & (log["system"] == system) & (log["seed"] == seed)
    for name, wanted in fixed.items():
        chosen &= texts[name].map(_canonical) == _canonical(wanted)
    chosen &= log["gain"].notna() & (log["metric"] == profile.yardstick.metric)
    return log[chosen].sort_values(list(free))


def effect_of(setting: str, log: pd.DataFrame, profile: config.Profile, system: str, seed: int = 0) -> pd.DataFrame:
    """Return what one setting does, all others as in the profile: a row a value, BLEU on dev.

    Columns: greedy BLEU of the checkpoint that was chosen and at the end of training; the gain of the former over SFT
    continued, with its 95 % interval; and the same where both are sampled at temperature 1.
    """
    import pandas as pd

    rows = {
        f"{row[setting]:g}": {
            "chosen": f"{row['greedy']:.1f}",
            "end": f"{row['last']:.1f}",
            "gain": f"{row['gain']:+.1f}",
            "95 % interval": f"{row['gain_low']:+.1f} to {row['gain_high']:+.1f}",
            "sampled gain": f"{row['sampled_gain']:+.1f}",
            "its interval": f"{row['sampled_gain_low']:+.1f} to {row['sampled_gain_high']:+.1f}",
        }
        for row in varying(log, profile, system, setting, seed=seed).to_dict("records")
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns=setting)


def map_table(
    log: pd.DataFrame, profile: config.Profile, system: str, value: str = "gain", seed: int = 0
) -> pd.DataFrame:
    """Return a value of the map's cells: rows are SFT's updates, columns the share of errors left in demonstrations.

    Only trials count whose other settings are those of `profile`.
    """
    import pandas as pd

    found = varying(log, profile, system, "data.miss", "sft.steps", seed=seed)
    table = pd.pivot_table(found, value, "sft.steps", "data.miss")
    return table.reindex(index=[s for s in MAP_STEPS if s in table.index], columns=[m for m in MAP_MISS if m in table])


def map_texts(log: pd.DataFrame, profile: config.Profile, system: str, value: str = "gain") -> pd.DataFrame:
    """Return what stands in the map's cells: the value, with a star where its 95 % interval does not contain 0."""
    values, low, high = (map_table(log, profile, system, name) for name in (value, f"{value}_low", f"{value}_high"))
    stars = ((low > 0) | (high < 0)).map({True: "*", False: ""}.get)
    return values.map("{:+.1f}".format) + stars


def attempts(log: pd.DataFrame, miss: float, steps: int) -> pd.DataFrame:
    """Return what DPO and GRPO made of one kind of SFT model, a row for each setting tried.

    Columns: method, what was set (learning rate; beta and prompts by samples for the pairs, or group size and updates
    by samples), greedy BLEU on dev at the chosen checkpoint and at the end; sorted by the latter.
    """
    import pandas as pd

    tried = log[(log["data.miss"] == miss) & (log["sft.steps"] == steps) & log["system"].isin(["dpo", "grpo"])]
    tried = tried[(tried["seed"] == 0) & (tried["metric"] == "bleu")].sort_values("last")
    rows = [
        {
            "method": row["system"].upper(),
            "what was set": _dpo_settings(row) if row["system"] == "dpo" else _grpo_settings(row),
            "best": f"{row['greedy']:.1f}",
            "end": f"{row['last']:.1f}",
        }
        for row in tried.to_dict("records")
    ]
    return pd.DataFrame(rows, index=range(1, len(rows) + 1))


def _dpo_settings(row: Mapping[Any, Any]) -> str:
    samples = f"{row['pairs.prompts']:.0f} x {row['pairs.samples']:.0f} samples at {row['pairs.temperature']}"
    return f"rate {row['dpo.learning_rate']:g}, beta {row['dpo.beta']:g}, {samples}"


def _grpo_settings(row: Mapping[Any, Any]) -> str:
    samples = f"{row['grpo.steps']:.0f} x {row['grpo.batch_size']:.0f} samples at {row['grpo.temperature']}"
    return f"rate {row['grpo.learning_rate']:g}, c = {row['grpo.group_size']:.0f}, {samples}"


def _canonical(text: str) -> str:
    # pandas reads 4 as 4.0 where a column has blanks
    try:
        return repr(float(text))
    except ValueError:
        return text


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _append(row: Mapping[str, Any], log: Path) -> None:
    if processes.is_main():
        files.append_text(log, _csv(row), _csv(dict(zip(COLUMNS, COLUMNS, strict=True))))


def _csv(row: Mapping[str, Any]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue()


def _gain(name: str, system: SystemEvaluation, control: SystemEvaluation, metric: str) -> dict[str, float]:
    measure = getattr(metrics, metric)
    scored, base = (measure.statistics(e.hypotheses, e.references, e.sources) for e in (system, control))
    found = compare.paired_difference(scored, base, measure.score)
    bounds = {f"{name}_low": found.interval.low, f"{name}_high": found.interval.high}
    return {name: _round(found.estimate)} | {column: _round(value) for column, value in bounds.items()}


def _score(evaluation: SystemEvaluation, metric: str) -> float:
    return _round(evaluation.scores.scores[getattr(metrics, metric).name].value)


def _round(value: float) -> float:
    return round(value, 3)
