"""GRPO with the group sizes 4, 8 and 16 under the designs of `gecalign.study.designs`, trained and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gecalign import config
from gecalign.corpus import rowfiles
from gecalign.runtime import files, processes
from gecalign.settings import settings_digest
from gecalign.study.designs import DESIGNS, GROUP_SIZES, variant
from gecalign.study.stages import Study

COLUMNS = ("design", "group size", "step", "BLEU", "prompts", "samples", "start", "profile", "digest", "seed")


def studies(
    study: Study, designs: Sequence[str] = DESIGNS, sizes: Sequence[int] = GROUP_SIZES
) -> dict[tuple[str, int], Study]:
    """Return a study for each design and group size; where two designs mean the same training, it is done once."""
    return {(design, c): study.variant(variant(study.profile, design, c)) for design in designs for c in sizes}


def checkpoints(study: Study, designs: Sequence[str] = DESIGNS, sizes: Sequence[int] = GROUP_SIZES) -> pd.DataFrame:
    """Train each, and return a row for each checkpoint: design, group size, step, dev BLEU."""
    rows = []
    for (design, c), trained in studies(study, designs, sizes).items():
        scored = trained.log("grpo").dropna(subset=["eval_bleu"])
        rows += [(design, c, int(step), bleu) for step, bleu in zip(scored["step"], scored["eval_bleu"], strict=True)]
    return pd.DataFrame(rows, columns=["design", "group size", "step", "BLEU"])


def record(study: Study, log: Path) -> None:
    """Train all designs and sizes, and append their checkpoints, with seed and cost, to a table; done is done.

    Columns: those of `COLUMNS`.

    Raises:
        ValueError: the file is another table, or cannot be written; an update would hold no whole group.
    """
    files.check_file(log, "--log")
    made: dict[str, Any] = {"profile": study.profile.name, "digest": settings_digest(study.profile), "seed": study.seed}
    done = processes.from_main(lambda: rowfiles.read_table(log, COLUMNS) if log.exists() else [])
    if done and list(done[0]) != list(COLUMNS):
        raise ValueError(
            f"{log} is no table of checkpoints: it has the columns {', '.join(done[0])}; expected "
            f"{', '.join(COLUMNS)}. Give another file (--log): a new one is made."
        )
    if any([row[name] for name in made] == [str(value) for value in made.values()] for row in done):
        return
    table = checkpoints(study)
    costs = summary(study, table)[["prompts", "samples"]].reset_index()
    rows = table.merge(costs).assign(start=study.sft().facts["dev_bleu"])
    for name, value in made.items():
        rows[name] = value
    if not processes.is_main():
        return
    text = rows.to_csv(columns=list(COLUMNS), header=False, index=False, float_format="%.3f", lineterminator="\n")
    files.append_text(log, text, ",".join(COLUMNS) + "\n")


def summary(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return for each design and group size what it cost, and best, mean and deviation of its checkpoints' dev BLEU."""
    groups = table.groupby(["design", "group size"], sort=False)["BLEU"]
    rows = pd.DataFrame({"best": groups.max(), "mean": groups.mean(), "deviation": groups.std()})
    pairs = [(str(design), int(c)) for design, c in rows.index]
    made = studies(study, list(dict.fromkeys(d for d, _ in pairs)), list(dict.fromkeys(c for _, c in pairs)))
    facts = [made[pair].grpo().facts for pair in pairs]
    rows.insert(0, "prompts", [fact["prompts_in_all"] for fact in facts])
    rows.insert(1, "samples", [fact["samples_in_all"] for fact in facts])
    rows.insert(2, "updates a generation", [fact["updates_a_generation"] for fact in facts])
    return rows


def read(log: Path) -> pd.DataFrame:
    """Return what `record` wrote, a row a checkpoint."""
    return pd.read_csv(log, dtype={"digest": str})  # some look like numbers, 12e34567890 among them


def recorded(log: pd.DataFrame, study: Study, design: str) -> pd.DataFrame:
    """Return what `record` wrote of this very study under one design, as `checkpoints` gives it; empty if nothing."""
    same = (log["digest"] == settings_digest(study.profile)) & (log["seed"] == study.seed) & (log["design"] == design)
    return log.loc[same, ["design", "group size", "step", "BLEU"]].reset_index(drop=True)


def over_seeds(log: pd.DataFrame, profile: config.Profile) -> pd.DataFrame:
    """Return what `record` wrote of a profile, a row a design and group size: the gain over SFT's dev BLEU, over seeds.

    Columns: prompts and samples in all, seeds, gain of the last checkpoint (mean over seeds), its standard deviation
    over seeds, and the gain of the best of the checkpoints.
    """
    log = log[log["digest"] == settings_digest(profile)]
    gained = log.assign(gain=log["BLEU"] - log["start"])
    runs = gained.groupby(["design", "group size", "seed"], sort=False)
    finished = runs[["prompts", "samples"]].first()
    finished["last"] = runs["gain"].last()
    finished["best"] = runs["gain"].max()
    pairs = finished.groupby(level=["design", "group size"], sort=False)
    return pd.DataFrame(
        {
            "prompts": pairs["prompts"].first(),
            "samples": pairs["samples"].first(),
            "seeds": pairs.size(),
            "gain": pairs["last"].mean(),
            "sd of seeds": pairs["last"].std(),
            "gain of best": pairs["best"].mean(),
        }
    )
