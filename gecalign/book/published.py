"""What others have published about this study's question, beside what one's own runs give for the same.

`results/published.csv` holds figures of the published study and of other public runs, a row a figure, each with its
source. None of them was measured here. `own` reads what runs of profiles have left under `runs/` or `results/`; it
trains nothing and decodes nothing, so that a table shows what there is and says where nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gecalign import config, metrics
from gecalign.config import Profile
from gecalign.runtime import store
from gecalign.statistics import compare, seeds
from gecalign.study import Study, results
from gecalign.study.evaluation import Outputs
from gecalign.systems import LABELS, UNTRAINED

if TYPE_CHECKING:
    import pandas as pd

SYSTEMS = ("copy", "base", "sft", "sft-continued", "dpo", "grpo")  # what `gecalign run all` evaluates
SPLITS = ("validation", "test")  # the rows of the published study are the validation rows


def figures(path: Path | None = None) -> pd.DataFrame:
    """Return the published figures, a row a figure.

    Columns: study, system (ours, or empty), label (theirs), metric, value (0-100, or missing where a range is known),
    low, high (0-100: a 95 % interval, or the range over several runs), stated (as the source writes it), split, rows
    (how many were scored; missing where the source does not say), prompt, standing, source, note.

    Raises:
        ValueError: there is no such file.
    """
    import pandas as pd

    path = path or store.project_folder() / "results" / "published.csv"
    if not path.is_file():
        raise ValueError(
            f"expected the published figures at {path}, which does not exist. Work in a clone of gecalign."
        )
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = ["value", "low", "high"]
    read[numbers] = read[numbers].apply(pd.to_numeric, errors="coerce")
    read["rows"] = pd.to_numeric(read["rows"], errors="coerce").astype("Int64")
    return read


@dataclass(frozen=True)
class Run:
    """Finished evaluations of one system on one split with one prompt, one `Outputs` a seed."""

    profile: str
    system: str
    split: str
    prompt: str  # "its own", or "another": the one that the profile calls mismatched
    outputs: Mapping[int, Outputs]

    def row(self) -> dict[str, Any]:
        """Return scores (0-100, means over seeds), and BLEU's 95 % interval: for other sentences, and other seeds."""
        rows = {m: self._statistics(m) for m in metrics.METRICS}
        values = {m.name: float(np.mean(m.score(rows[m].sum(axis=1)))) for m in metrics.METRICS}
        many = len(self.outputs) > 1
        bleu = (seeds.interval if many else compare.interval)(
            rows[metrics.bleu] if many else rows[metrics.bleu][0], metrics.bleu.score
        )
        return {
            "profile": self.profile, "system": self.system, "split": self.split, "prompt": self.prompt,
            "seeds": len(self.outputs), "rows": rows[metrics.bleu].shape[1],
            "BLEU": values.pop("BLEU"), "low": bleu.low, "high": bleu.high, **values,
        }  # fmt: skip

    def _statistics(self, metric: metrics.Metric) -> metrics.Array:
        return np.stack([metric.statistics(o.hypotheses, o.references, o.sources) for o in self.outputs.values()])


def own(profiles: Sequence[str | Profile], runs: Path | None = None) -> pd.DataFrame:
    """Return what finished runs of the profiles score, a row a system, split and prompt; empty where there is none.

    Looks in `results/<profile>/` first, which holds more seeds, then in the folders of stages. Products of other
    settings than the profile's are left out.

    Columns: profile, system, split, prompt, seeds, rows, BLEU, low, high, and the other metrics; scores 0-100.
    """
    import pandas as pd

    found = [run for profile in profiles for run in find(profile, runs)]
    columns = ["profile", "system", "split", "prompt", "seeds", "rows", "BLEU", "low", "high"]
    columns += [metric.name for metric in metrics.METRICS if metric is not metrics.bleu]
    return pd.DataFrame([run.row() for run in found], columns=columns)


def find(profile: str | Profile, runs: Path | None = None) -> list[Run]:
    """Return the finished evaluations of a profile's systems, without making any.

    Raises:
        store.StageError: an evaluation was changed after it was made.
    """
    chosen = config.profile(profile) if isinstance(profile, str) else profile
    collected = _collected(chosen)
    made = {(run.system, run.split, run.prompt) for run in collected}
    staged = _staged(chosen, runs or store.runs_folder())
    return [*collected, *(run for run in staged if (run.system, run.split, run.prompt) not in made)]


def beside(profile: str | Profile, split: str = "validation", runs: Path | None = None) -> pd.DataFrame:
    """Return published BLEU beside what finished runs of a profile score on a split; what is not there is empty.

    A row a system, and one more where the profile has a second prompt to ask with, as the published study had.
    """
    import pandas as pd

    chosen = config.profile(profile) if isinstance(profile, str) else profile
    yours = {(run.system, run.prompt): run.row() for run in find(chosen, runs) if run.split == split}
    table = {}
    for system in SYSTEMS:
        for template, prompt in _prompts(chosen).items():
            if prompt == "another" and system in UNTRAINED:
                continue
            name = LABELS[system] if prompt == "its own" else f"{LABELS[system]}, another prompt"
            row = yours.get((system, prompt))
            table[name] = {
                "theirs, not measured here": _theirs(system, template, chosen),
                "yours": f"{row['BLEU']:.1f}" if row else "",
                "95 % interval": f"{row['low']:.1f} to {row['high']:.1f}" if row else "",
            }
    return pd.DataFrame.from_dict(table, orient="index")


def to_run(profile: str | Profile, split: str = "validation", runs: Path | None = None) -> str:
    """Return a sentence that says which of a profile's systems have not been evaluated on a split, and what to do."""
    chosen = config.profile(profile) if isinstance(profile, str) else profile
    there = {run.system for run in find(chosen, runs) if run.split == split and run.prompt == "its own"}
    if missing := [LABELS[system] for system in SYSTEMS if system not in there]:
        what = "not run here yet" if not there else f"not run here yet on {split}: {', '.join(missing)}"
        return f"{what}: `gecalign run all --profile {chosen.name}`"
    return f"every row of {chosen.name} was measured by a run of yours"


def _prompts(profile: Profile) -> dict[str, str]:
    """Return the templates that a profile's systems are asked with, and what they are called here."""
    other = {profile.mismatched_prompt.template: "another"} if profile.mismatched_prompt else {}
    return {profile.prompt.template: "its own", **other}


def _theirs(system: str, template: str, profile: Profile) -> str:
    """Return the published BLEU of a system: asked with this template where the profile has the study's two prompts."""
    known = figures().query("metric == 'BLEU' and system == @system")
    if profile.mismatched_prompt and system not in UNTRAINED:
        known = known[known["prompt"] == template]
    for value, low, high in known[["value", "low", "high"]].to_numpy(dtype=float):
        return f"{low:.0f} to {high:.0f}" if np.isnan(value) else f"{value:.1f}"
    return ""


def _collected(profile: Profile) -> list[Run]:
    """Return the evaluations in `results/<profile>/`, if they were made with the settings that it has now."""
    folder = store.project_folder() / "results" / profile.name
    try:
        found = results.load(folder, profile)
    except ValueError:  # none, or of other settings
        return []
    splits = [split for split in SPLITS if (found.sentences["split"] == split).any()]
    return [
        Run(profile.name, system, split, "its own", {seed: found.outputs(system, seed, split) for seed in found.seeds})
        for split in splits
        for system in SYSTEMS
        if system in found.record["systems"]
    ]


def _staged(profile: Profile, runs: Path) -> list[Run]:
    """Return the evaluations among the folders of stages, of every seed that has them."""
    numbers = sorted(int(path.name.removeprefix("seed-")) for path in (runs / profile.name).glob("seed-*"))
    studies = [Study(profile, seed, runs) for seed in numbers]
    found = []
    with store.only_existing():
        for split, system, (template, name) in product(SPLITS, SYSTEMS, _prompts(profile).items()):
            if name == "another" and system in UNTRAINED:
                continue
            outputs = {one.seed: _evaluated(one, system, split, config.Prompt(template)) for one in studies}
            if there := {seed: made for seed, made in outputs.items() if made}:
                found.append(Run(profile.name, system, split, name, there))
    return found


def _evaluated(study: Study, system: str, split: str, prompt: config.Prompt) -> Outputs | None:
    try:
        if not study.examples(split):
            return None
        return study.evaluation(system, split, prompt=prompt, allow_other_prompt=True)
    except store.NotMade:
        return None
