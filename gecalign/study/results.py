"""The results of a study with several seeds: every prediction, and all that is needed to compute the rest anew.

`results/<profile>/` holds, and a repository can hold,

    study.json              profile, seeds, digests, versions, machine
    sentences.parquet       split, id, source, reference
    predictions.parquet     system, seed, split, decoding, hypothesis, tokens, truncated; in the order of the sentences
    metrics.csv             what each set of predictions scores
    checkpoints.csv         dev BLEU of every checkpoint of every training
    budget.csv              what each system cost
    logs.parquet            the training logs of SFT, DPO and GRPO: system, step, measure, value
    rewards.parquet         the reward check: a row a prompt, rewards of greedy decoding and of samples, two ways
    samplers.csv            what pairs two samples a prompt give, by how they were drawn
    samples.csv             what the first k samples of a prompt give
    judges.csv              what other rewards say of the pairs
    log_ratios.csv          what DPO did to both sides of pairs that it was not trained on
    facts.csv               single numbers: pairs and the funnel, chosen steps
    mistakes.csv            what the mistakes of chapter 9 score on dev

Where texts may not be passed on (JFLEG's), sentences have their ids alone, and predictions the counts of each metric in
place of the hypothesis (`counted`): all statistics can be computed, and no sentence be read.

Chapters compute every statistic from the predictions; a test checks that `metrics.csv` follows from them. Everything
is of every seed, so that a chapter can show the reader's own run beside it.

The tables of what happened inside the runs (`INSIDE`) need not be of the same runs as the predictions: each is whole by
itself, and `study.json` says under "inside" which seeds, commits and machine they are of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gecalign import config, metrics
from gecalign.corpus import jfleg
from gecalign.metrics.predictions import Prediction
from gecalign.runtime import files, store
from gecalign.settings import settings_digest
from gecalign.study import accounts, diagnostics, mistakes
from gecalign.study.evaluation import Outputs
from gecalign.systems import RECORDED, UNTRAINED

if TYPE_CHECKING:
    import pandas as pd

    from gecalign.study import Study

WITHOUT_TEXTS = (jfleg.NAME,)  # corpora whose texts may not be passed on
PREDICTED = ("hypothesis", "tokens", "truncated")
TEXTS = ("source", "reference")
# Tables of one run, by the name of their file: what a study's seed gives, a column `seed` in front.
TABLES: dict[str, Callable[[Study], pd.DataFrame]] = {
    "checkpoints.csv": accounts.checkpoints,
    "budget.csv": accounts.budget,
    "logs.parquet": diagnostics.logs,
    "rewards.parquet": diagnostics.rewarded,
    "samplers.csv": lambda study: diagnostics.pairs_by_sampler(study).reset_index(),
    "samples.csv": lambda study: diagnostics.pairs_by_samples(study).reset_index(),
    "judges.csv": lambda study: diagnostics.judges(study).reset_index(),
    "log_ratios.csv": diagnostics.log_ratios,
    "facts.csv": accounts.facts,
    "mistakes.csv": mistakes.mistakes,
}
INSIDE = tuple(name for name in TABLES if name not in ("checkpoints.csv", "budget.csv"))
FILES = ("study.json", "sentences.parquet", "predictions.parquet", "metrics.csv", *TABLES)


def evaluations(system: str) -> list[tuple[str, str]]:
    """Return on which split and with which decoding a system is evaluated; sampled is at temperature 1."""
    if system == "best-of-n":
        return [("test", "greedy")]  # the best of its samples; nothing is chosen on dev
    both = [("test", "greedy"), ("dev", "greedy")]
    return both if system in UNTRAINED else [*both, ("dev", "sampled")]


def decoding(profile: config.Profile, name: str) -> config.Decoding:
    """Return the decoding settings behind "greedy" (the profile's own) or "sampled"."""
    return profile.decoding if name == "greedy" else replace(profile.decoding, temperature=1.0)


@dataclass(frozen=True, slots=True)
class Inside:
    """Of which runs the record shows the inside."""

    profile: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Results:
    """The predictions of every system with every seed, and the tables beside them."""

    record: Mapping[str, Any]  # study.json
    sentences: pd.DataFrame
    predictions: pd.DataFrame
    scores: pd.DataFrame  # metrics.csv
    tables: Mapping[str, pd.DataFrame]  # those of `TABLES`, by the stem of the file

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(self.record["seeds"])

    @property
    def budget(self) -> pd.DataFrame:
        """What each trained system cost, a row a system and seed; see `gecalign.study.accounts.budget`."""
        return self.tables["budget"]

    @property
    def profile(self) -> str:
        """The name of the profile."""
        return str(self.record["profile"]["name"])

    def curves(self, system: str, measure: str) -> pd.DataFrame:
        """Return what the training logs say of a measure: a row an update, a column a seed."""
        logs = self.tables["logs"]
        rows = logs[(logs["system"] == system) & (logs["measure"] == measure)]
        return rows.pivot_table("value", "step", "seed")

    @property
    def inside(self) -> Inside:
        """Of which runs the tables of `INSIDE` are."""
        return Inside(self.profile, tuple(self.record["inside"]["seeds"]))

    def fact(self, name: str) -> list[float]:
        """Return a single number of `facts.csv` for each seed."""
        table = self.tables["facts"]
        return table.loc[table["name"] == name, "value"].tolist()

    def kinship(self, study: Study, system: str) -> str:
        """Say what a model at hand is to those whose outputs the record holds: one of them, or one more draw."""
        content, seed = study.trained(system).content, study.seed
        if self.record["models"].get(f"{system} {seed}") == content:
            return f"this model is the record's of seed {seed}, byte for byte: not one more draw"
        if self.profile == study.profile.name and seed in self.seeds:
            return f"the record has seed {seed}, too, and another model came of it: one more draw"
        return "this model is none of the record's: one more draw"

    def per_seed(
        self, metric: metrics.Metric, system: str, split: str = "test", decoding: str = "greedy"
    ) -> metrics.Array:
        """Return the corpus score of a system with each seed, shape (seeds,)."""
        return metric.score(self.statistics(metric, system, split, decoding).sum(axis=1))

    @cached_property
    def _statistics(self) -> dict[tuple[str, str, str, str], metrics.Array]:
        return {}

    @cached_property
    def _outputs(self) -> dict[tuple[str, int, str, str], Outputs]:
        return {}

    @cached_property
    def _rows(self) -> dict[tuple[str, int, str, str], pd.DataFrame]:
        keys = ["system", "seed", "split", "decoding"]
        return dict(iter(self.predictions.groupby(keys, sort=False, observed=True)))  # type: ignore[arg-type]

    def texts(self, split: str = "test") -> tuple[list[str], list[str]]:
        """Return sources and references of a split, in the order of all predictions.

        Raises:
            ValueError: they are not kept.
        """
        self._check_texts()
        rows = self.sentences[self.sentences["split"] == split]
        return rows["source"].tolist(), rows["reference"].tolist()

    def outputs(self, system: str, seed: int, split: str = "test", decoding: str = "greedy") -> Outputs:
        """Return what a system wrote with one seed.

        Raises:
            ValueError: the study did not ask that system with that seed so, or texts are not kept.
        """
        self._check_texts()
        key = (system, seed, split, decoding)
        if key in self._outputs:
            return self._outputs[key]
        if key not in self._rows:
            raise ValueError(
                f"the study has no outputs of {system!r} with seed {seed} on {split}, {decoding}. Systems: "
                f"{', '.join(self.record['systems'])}. Seeds: {self.seeds}."
            )
        rows, sentences = self._rows[key], self.sentences[self.sentences["split"] == split]
        columns = [sentences[name] for name in ("id", "source", "reference")] + [rows[name] for name in PREDICTED]
        written = tuple(Prediction(*values) for values in zip(*(c.tolist() for c in columns), strict=True))
        self._outputs[key] = Outputs(system, split, written)
        return self._outputs[key]

    def statistics(
        self, metric: metrics.Metric, system: str, split: str = "test", decoding: str = "greedy"
    ) -> metrics.Array:
        """Return the sentence statistics of a metric for all seeds, shape (seeds, n, k)."""
        key = (metric.name, system, split, decoding)
        if key not in self._statistics and metric.name in self.predictions:
            kept = [self._rows[system, seed, split, decoding][metric.name].tolist() for seed in self.seeds]
            self._statistics[key] = np.array(kept, dtype=np.float64)
        if key not in self._statistics:
            sources, references = self.texts(split)
            written = [self._rows[system, seed, split, decoding]["hypothesis"].tolist() for seed in self.seeds]
            triples = [t for texts in written for t in zip(texts, references, sources, strict=True)]
            distinct = list(dict.fromkeys(triples))  # seeds often write the same, and counting is what takes time
            place = {triple: i for i, triple in enumerate(distinct)}
            counts = metric.statistics(*(list(column) for column in zip(*distinct, strict=True)))
            rows = counts[[place[triple] for triple in triples]]
            self._statistics[key] = rows.reshape(len(self.seeds), len(sources), -1)
        return self._statistics[key]

    def _check_texts(self) -> None:
        if "hypothesis" not in self.predictions:
            raise ValueError(
                f"the results of {self.profile} hold no texts: those of its corpus may not be passed on with them. "
                "Statistics are there; for texts run the study (`gecalign study`)."
            )


def collect(studies: Sequence[Study], folder: Path) -> None:
    """Write what the studies, one profile with several seeds, have measured into a folder."""
    import pandas as pd

    free = may_be_read(studies[0].profile)

    made = [(s, system, split, name) for s in studies for system in RECORDED for split, name in evaluations(system)]
    predictions, scores = [], []
    for study, system, split, name in made:
        found = study.evaluation(system, split, decoding(study.profile, name))
        key = {"system": system, "seed": study.seed, "split": split, "decoding": name}
        rows = rows_of(study.profile, found)
        predictions.append(pd.DataFrame(key, index=rows.index).join(rows))
        scores.append(key | found.scores.row())
    sentences = [
        pd.DataFrame([{"split": split} | {name: getattr(e, name) for name in ("id", *TEXTS * free)} for e in rows])
        for split, rows in ((split, studies[0].examples(split)) for split in ("dev", "test"))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    tables = pd.concat(predictions, ignore_index=True).astype(
        dict.fromkeys(("system", "split", "decoding"), "category")
    )
    for frame, name in ((pd.concat(sentences), "sentences"), (tables, "predictions")):
        write_table(frame, folder / f"{name}.parquet")
    write_table(pd.DataFrame(scores), folder / "metrics.csv", "%.6f")
    _write_tables(studies, folder, tuple(TABLES))
    _write_record(_record(studies), folder)


def may_be_read(profile: config.Profile) -> bool:
    """Return whether the texts of a corpus may be passed on with results."""
    return profile.data.source not in WITHOUT_TEXTS


def rows_of(profile: config.Profile, found: Outputs) -> pd.DataFrame:
    """Return what is kept of outputs, a row a sentence: texts where they may be, else counts."""
    return written(found) if may_be_read(profile) else counted(found)


def written(found: Outputs) -> pd.DataFrame:
    """Return what a system wrote, a row a sentence."""
    import pandas as pd

    return pd.DataFrame([{name: getattr(p, name) for name in PREDICTED} for p in found.predictions])


def counted(found: Outputs) -> pd.DataFrame:
    """Return, in place of texts, a row a sentence: the counts of each metric, and what the output does."""
    import pandas as pd

    asked = found.hypotheses, found.references, found.sources
    counts = {m.name: list(m.statistics(*asked).astype("float32")) for m in metrics.METRICS}
    does = {name: flags for name, flags in vars(found.behaviour).items() if flags is not None}
    return pd.DataFrame({"tokens": [p.tokens for p in found.predictions]} | does | counts)


def check_replaced(folder: Path, tried: config.Profile | None, seeds: int | None) -> None:
    """Raise ValueError where new results would take the place of those of other settings, or of more seeds.

    Args:
        tried: a profile with settings that are only tried; None: as it stands in the library.
        seeds: None: however many.
    """
    if not (folder / "study.json").exists():
        return
    record = _recorded_in(folder)
    other = tried is not None and record["settings"] != settings_digest(tried)
    if other or (seeds is not None and seeds < len(record["seeds"])):
        held = "of other settings" if other else f"of {len(record['seeds'])} seeds, and --seeds is {seeds}"
        raise ValueError(
            f"{folder} holds results {held}, and would be replaced. Give another folder by --output, or this one "
            "if that is what you want."
        )


def renew_inside(studies: Sequence[Study], folder: Path) -> None:
    """Write the tables of `INSIDE` anew into a folder of results; its predictions stay what they are."""
    if not (folder / "study.json").exists():
        raise ValueError(
            f"{folder} holds no results that could be renewed. Run the same command without --only-inside."
        )
    with renewing(folder) as new:
        _write_tables(studies, new, INSIDE)
        _write_record(_recorded_in(folder) | {"inside": _inside(studies)}, new)


@contextmanager
def renewing(folder: Path) -> Iterator[Path]:
    """Give a copy of a folder of results, or an empty one, which takes its place when all went well.

    So no table of one study ever stands beside the record of another.
    """
    with files.replacing(folder) as new:
        if folder.exists():
            shutil.copytree(folder, new, dirs_exist_ok=True)
        yield new


def _write_tables(studies: Sequence[Study], folder: Path, names: Sequence[str]) -> None:
    import pandas as pd

    for name in names:
        whole = pd.concat([_of_seed(study.seed, TABLES[name](study)) for study in studies], ignore_index=True)
        write_table(whole, folder / name)


def write_table(table: pd.DataFrame, path: Path, floats: str = "%.6g") -> None:
    """Write a table so that it is there whole or not at all, the same bytes for the same table."""
    with store.writing(path) as beside:
        if path.suffix == ".csv":
            table.to_csv(beside, index=False, float_format=floats, lineterminator="\n")
        else:
            table.to_parquet(beside, index=False, compression="zstd", compression_level=19)


def _write_record(record: Mapping[str, Any], folder: Path) -> None:
    store.write_text(folder / "study.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _recorded_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "study.json").read_text(encoding="utf-8"))


def _of_seed(seed: int, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in single precision with the seed in front, which some tables have already."""
    kept = table.drop(columns="seed", errors="ignore")
    kept.insert(0, "seed", seed)
    narrow = dict.fromkeys(kept.select_dtypes("float64"), "float32")
    return kept.astype(narrow).map(_narrow) if "direct" in kept else kept.astype(narrow)


def _narrow(value: Any) -> Any:
    return np.asarray(value, dtype=np.float32) if isinstance(value, np.ndarray) else value


def load(folder: Path, profile: config.Profile) -> Results:
    """Read what `collect` wrote.

    Raises:
        ValueError: a file is missing, or the results were made with other settings than the profile has now.
    """
    if missing := [name for name in FILES if not (folder / name).exists()]:
        raise ValueError(f"{folder} has no {missing[0]}. `gecalign study --profile {profile.name}` makes it.")
    record = _recorded_in(folder)
    if record["settings"] != settings_digest(profile):
        raise ValueError(
            f"the results in {folder} were made with other settings than the profile {profile.name} has now. Run "
            f"`gecalign study --profile {profile.name}` again, or take back the change."
        )
    frames = {name: _read(folder / name) for name in FILES if name != "study.json"}
    tables = {Path(name).stem: frames[name] for name in TABLES}
    return Results(record, frames["sentences.parquet"], frames["predictions.parquet"], frames["metrics.csv"], tables)


def recorded(profile: str) -> Results:
    """Return the results that the repository holds of a profile, and where it has none, those of `tiny`.

    So a chapter on any profile can show what several seeds gave, and says of which profile.
    """
    folder = store.project_folder() / "results"
    name = profile if (folder / profile / "study.json").exists() else "tiny"
    return load(folder / name, config.profile(name))


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def _record(studies: Sequence[Study]) -> dict[str, Any]:
    first = studies[0]
    made = {f"{system} {s.seed}": s.trained(system) for s in studies for system in accounts.trained()}
    evaluated = first.evaluation("sft", "test")
    return {
        "profile": asdict(first.profile),
        "settings": settings_digest(first.profile),
        "seeds": [study.seed for study in studies],
        "systems": list(RECORDED),
        "signatures": evaluated.scores.signatures(),
        "prompt": evaluated.stage.record["spec"]["prompt"],
        "data": first.corpus.content,
        "models": {name: stage.content for name, stage in made.items()},
        "commits": sorted({stage.record["commit"] or "unknown" for stage in made.values()}),
        "machine": evaluated.stage.record["machine"],
        "packages": evaluated.stage.record["packages"],
        "inside": _inside(studies),
    }


def _inside(studies: Sequence[Study]) -> dict[str, Any]:
    made = [study.trained(system) for study in studies for system in diagnostics.LOGGED]
    return {
        "seeds": [study.seed for study in studies],
        "commits": sorted({stage.record["commit"] or "unknown" for stage in made}),
        "machine": made[0].record["machine"],
    }
