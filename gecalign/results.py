"""The results of a study with several seeds: every prediction, and all that is needed to compute the rest anew.

`results/<profile>/` holds, and a repository can hold,

    study.json              profile, seeds, digests, versions, machine
    sentences.parquet       split, id, source, reference
    predictions.parquet     system, seed, split, decoding, hypothesis, tokens, truncated; in the order of the sentences
    metrics.csv             what each set of predictions scores
    checkpoints.csv         dev BLEU of every checkpoint of every training
    budget.csv              what each system cost

Chapters compute every statistic from the predictions; a test checks that `metrics.csv` follows from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, metrics, store
from gecalign.evaluation import Outputs
from gecalign.predictions import Prediction
from gecalign.systems import SYSTEMS, UNTRAINED
from gecalign.trials import settings_digest

if TYPE_CHECKING:
    import pandas as pd

    from gecalign.study import Study

DECODINGS = ("greedy", "sampled")
PREDICTED = ("hypothesis", "tokens", "truncated")
FILES = (
    "study.json", "sentences.parquet", "predictions.parquet", "metrics.csv", "checkpoints.csv", "budget.csv",
)  # fmt: skip


def evaluations(system: str) -> list[tuple[str, str]]:
    """Return on which split and with which decoding a system is evaluated; sampled is at temperature 1."""
    if system == "best-of-n":
        return [("test", "greedy")]  # the best of its samples; nothing is chosen on dev
    both = [("test", "greedy"), ("dev", "greedy")]
    return both if system in UNTRAINED else [*both, ("dev", "sampled")]


def decoding(profile: config.Profile, name: str) -> config.Decoding:
    """Return the decoding settings behind "greedy" (the profile's own) or "sampled"."""
    return profile.decoding if name == "greedy" else replace(profile.decoding, temperature=1.0)


@dataclass(frozen=True)
class Results:
    """The predictions of every system with every seed, and the tables beside them."""

    record: Mapping[str, Any]  # study.json
    sentences: pd.DataFrame
    predictions: pd.DataFrame
    scores: pd.DataFrame  # metrics.csv
    checkpoints: pd.DataFrame
    budget: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(self.record["seeds"])

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
        """Return sources and references of a split, in the order of all predictions."""
        rows = self.sentences[self.sentences["split"] == split]
        return rows["source"].tolist(), rows["reference"].tolist()

    def outputs(self, system: str, seed: int, split: str = "test", decoding: str = "greedy") -> Outputs:
        """Return what a system wrote with one seed.

        Raises:
            ValueError: the study did not ask that system with that seed so.
        """
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


def collect(studies: Sequence[Study], folder: Path) -> None:
    """Write what the studies, one profile with several seeds, have measured into a folder."""
    import pandas as pd

    made = [(s, system, split, name) for s in studies for system in SYSTEMS for split, name in evaluations(system)]
    predictions, scores = [], []
    for study, system, split, name in made:
        found = study.evaluation(system, split, decoding(study.profile, name))
        key = {"system": system, "seed": study.seed, "split": split, "decoding": name}
        predictions.append(pd.DataFrame([key | {c: getattr(p, c) for c in PREDICTED} for p in found.predictions]))
        scores.append(key | found.scores.row())
    sentences = [
        pd.DataFrame([{"split": split, "id": e.id, "source": e.source, "reference": e.reference} for e in rows])
        for split, rows in ((split, studies[0].examples(split)) for split in ("dev", "test"))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    tables = pd.concat(predictions, ignore_index=True).astype(
        dict.fromkeys(("system", "split", "decoding"), "category")
    )
    for frame, name in ((pd.concat(sentences), "sentences"), (tables, "predictions")):
        frame.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd", compression_level=19)
    pd.DataFrame(scores).to_csv(folder / "metrics.csv", index=False, float_format="%.6f")
    pd.concat([checkpoints(study) for study in studies]).to_csv(
        folder / "checkpoints.csv", index=False, float_format="%.3f"
    )
    pd.DataFrame([row for study in studies for row in budget(study)]).to_csv(folder / "budget.csv", index=False)
    store.write_text(folder / "study.json", json.dumps(_record(studies), indent=1, ensure_ascii=False) + "\n")


def load(folder: Path, profile: config.Profile) -> Results:
    """Read what `collect` wrote.

    Raises:
        ValueError: a file is missing, or the results were made with other settings than the profile has now.
    """
    import pandas as pd

    if missing := [name for name in FILES if not (folder / name).exists()]:
        raise ValueError(f"{folder} has no {missing[0]}. `gecalign study --profile {profile.name}` makes it.")
    record = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    if record["settings"] != settings_digest(profile):
        raise ValueError(
            f"the results in {folder} were made with other settings than the profile {profile.name} has now. Run "
            f"`gecalign study --profile {profile.name}` again, or take back the change."
        )
    return Results(
        record,
        *(pd.read_parquet(folder / f"{name}.parquet") for name in ("sentences", "predictions")),
        *(pd.read_csv(folder / f"{name}.csv") for name in ("metrics", "checkpoints", "budget")),
    )


def checkpoints(study: Study) -> pd.DataFrame:
    """Return dev BLEU of every checkpoint of every training of a study, a row a checkpoint; `chosen` marks the best."""
    import pandas as pd

    found = []
    for system in _trained():
        log = study.log(system).dropna(subset=["eval_bleu"])
        chosen = log["step"] == study.trained(system).facts["chosen_step"]
        found.append(
            pd.DataFrame(
                {
                    "system": system,
                    "seed": study.seed,
                    "step": log["step"].astype(int),
                    "BLEU": log["eval_bleu"],
                    "chosen": chosen,
                }
            )
        )
    return pd.concat(found)


def budget(study: Study) -> Iterator[dict[str, Any]]:
    """Yield what each system of a study cost beyond the SFT model that it starts from, SFT itself from the base.

    prompts: rows shown, or prompts that samples were drawn for. Tokens include EOS; trained tokens are those of prompts
    and completions that a loss was computed on, both texts of a pair. Seconds are of training and sampling.
    """
    for system in _trained():
        stage = study.trained(system)
        facts = stage.facts
        row = {"system": system, "seed": study.seed, "prompts": 0, "sampled tokens": 0,
               "trained tokens": facts["tokens"], "updates": facts["updates"],
               "seconds": stage.record["seconds"]}  # fmt: skip
        if samples := _samples_of(study, system):
            row |= {"prompts": samples.record["spec"]["prompts"] or len(study.prompted(study.profile.pairs.split)),
                    "sampled tokens": samples.facts["tokens"],
                    "seconds": row["seconds"] + samples.record["seconds"]}  # fmt: skip
        elif "prompts_in_all" in facts:
            row |= {"prompts": facts["prompts_in_all"], "sampled tokens": facts["sampled_tokens"]}
        else:
            row["prompts"] = facts["updates"] * stage.record["spec"]["settings"]["batch_size"]
        yield row


def _samples_of(study: Study, system: str) -> store.Stage | None:
    from gecalign.trained import SECOND_TEMPERATURE

    if system == "dpo-two-temperatures":
        return study.variant(study.profile.variant(pairs__second_temperature=SECOND_TEMPERATURE)).samples()
    return study.samples() if system in ("dpo", "dpo-reference", "raft", "random-of-k") else None


def _trained() -> list[str]:
    return [system for system in SYSTEMS if system not in UNTRAINED]


def _record(studies: Sequence[Study]) -> dict[str, Any]:
    first = studies[0]
    made = {f"{system} {s.seed}": s.trained(system) for s in studies for system in _trained()}
    evaluated = first.evaluation("sft", "test")
    return {
        "profile": asdict(first.profile),
        "settings": settings_digest(first.profile),
        "seeds": [study.seed for study in studies],
        "systems": list(SYSTEMS),
        "signatures": evaluated.scores.signatures(),
        "prompt": evaluated.stage.record["spec"]["prompt"],
        "data": first.corpus.content,
        "models": {name: stage.content for name, stage in made.items()},
        "commits": sorted({stage.record["commit"] or "unknown" for stage in made.values()}),
        "machine": evaluated.stage.record["machine"],
        "packages": evaluated.stage.record["packages"],
    }
