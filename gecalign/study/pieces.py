"""What the record keeps of one system with one seed: small, whole by itself, and put together with others.

A study of a real model takes hours, and may happen in parts, on machines that come and go. Each system that is finished
leaves a piece, which is all that has to be carried home or kept in a repository:

    seed-<n>/<system>/piece.json         seed, system, settings, what made it, scores, cost, what training reported
    seed-<n>/<system>/outputs.parquet    a row a sentence: split, decoding, and the counts of each metric, no text
    seed-<n>/<system>/log.csv            the log of its training, if it has one

Pieces of the same settings make `Results`, as far as they reach: the seeds are those that every system in it has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from gecalign.runtime import files, store
from gecalign.settings import settings_digest
from gecalign.study import accounts, results
from gecalign.systems import UNTRAINED

if TYPE_CHECKING:
    from gecalign.study import Study

RECORD = "piece.json"
# In this order they are made, for all seeds, before the next part: what is asked first is answered first.
PARTS = (
    ("copy", "base", "sft", "sft-continued", "dpo", "grpo"),
    ("sft-constant", "raft", "sft-careful", "grpo-shuffled", "random-of-k", "sft-fresh", "best-of-n"),
    ("dpo-constant", "grpo-constant", "grpo-4", "grpo-16", "dpo-reference"),
)
SAME_FOR_ALL = ("copy", "base")  # whatever the seed: made with the first, counted with each


@dataclass(frozen=True, slots=True)
class Piece:
    """One system with one seed, and where it lies."""

    folder: Path
    record: dict[str, Any]

    @property
    def key(self) -> tuple[str, int]:
        """System and seed."""
        return self.record["system"], self.record["seed"]


def order(seeds: Sequence[int]) -> list[tuple[int, str]]:
    """Return seed and system of every piece in the order in which they are made."""
    first = seeds[0]
    return [
        (seed, system)
        for part in PARTS for seed in seeds for system in part if seed == first or system not in SAME_FOR_ALL
    ]  # fmt: skip


def place(folder: Path, seed: int, system: str) -> Path:
    """Return where a piece lies in a folder of them."""
    return folder / f"seed-{seed}" / system


def write(study: Study, system: str, folder: Path) -> Path:
    """Make what is missing of a system, and write its piece into a folder of them, whole or not at all."""
    found = [(split, name, study.evaluation(system, split, results.decoding(study.profile, name)))
             for split, name in results.evaluations(system)]  # fmt: skip
    rows, scores = [], []
    for split, name, outputs in found:
        key = {"split": split, "decoding": name, "id": [p.id for p in outputs.predictions]}
        kept = results.counted(outputs)
        rows.append(pd.DataFrame(key, index=kept.index).join(kept))
        scores.append({"split": split, "decoding": name, "n": outputs.scores.n} | outputs.scores.row())
    trained = {} if system in UNTRAINED else _of_training(study, system)
    record = {
        "profile": asdict(study.profile), "settings": settings_digest(study.profile), "system": system,
        "seed": study.seed, "data": study.corpus.content, "signatures": found[0][2].scores.signatures(),
        "scores": scores, **trained, **store.provenance(),
    }  # fmt: skip
    to = place(folder, study.seed, system)
    with files.replacing(to) as partial:
        results.write_table(pd.concat(rows, ignore_index=True), partial / "outputs.parquet")
        if trained:
            shutil.copyfile(study.trained(system).folder / "log.csv", partial / "log.csv")
        record["files"] = store.file_digests(partial)
        store.write_text(partial / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return to


def read(folder: Path) -> list[Piece]:
    """Return the pieces in a folder, by seed and system.

    Raises:
        ValueError: one cannot be read.
    """
    found = []
    for path in sorted(folder.glob(f"seed-*/[!.]*/{RECORD}")):  # hidden: one that is just being written
        try:
            piece = Piece(path.parent, json.loads(path.read_text(encoding="utf-8")))
            piece.key  # noqa: B018 - that it has one
            there = store.file_digests(path.parent)
            if changed := [name for name, digest in piece.record["files"].items() if there.get(name) != digest]:
                raise ValueError(f"{changed[0]} is not what was written")
            found.append(piece)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error!r}). Remove {path.parent}, and collect it again.") from None
    return sorted(found, key=lambda piece: (piece.record["seed"], piece.record["system"]))


class Merged(NamedTuple):
    """What became of pieces that were to be merged."""

    new: list[Piece]
    known: list[Piece]  # the same was there
    other: list[Piece]  # another result of the same system and seed was there, and stays


def merge(sources: Iterable[Path], to: Path) -> Merged:
    """Copy pieces from several folders into one; what is there already stays.

    Two machines may well come to other results with the same seed, as they round differently.

    Raises:
        ValueError: a folder holds none, or pieces are of different settings or sentences, or damaged.
    """
    there = {piece.key: piece for piece in read(to)}
    found = Merged([], [], [])
    for source in sources:
        if not (pieces := read(source)):
            raise ValueError(f"{source} holds no pieces: expected seed-<n>/<system>/{RECORD}.")
        for piece in pieces:
            _check_alike([*there.values(), piece])
            if piece.key in there:
                same = there[piece.key].record["files"] == piece.record["files"]
                (found.known if same else found.other).append(piece)
                continue
            target = place(to, piece.record["seed"], piece.record["system"])
            with files.replacing(target) as partial:
                for name in (*piece.record["files"], RECORD):
                    shutil.copyfile(piece.folder / name, partial / name)
            there[piece.key] = Piece(target, piece.record)
            found.new.append(there[piece.key])
    return found


def assemble(folder: Path, systems: Sequence[str] = ()) -> results.Results:
    """Return results of the pieces in a folder, for the seeds that each of the systems has.

    Args:
        systems: those to be compared; none: all of the first part.

    Raises:
        ValueError: no seed has all of them, or pieces are of different settings.
    """
    pieces = {piece.key: piece for piece in read(folder)}
    wanted = list(systems or PARTS[0])
    of_own = [system for system in wanted if system not in SAME_FOR_ALL]
    all_seeds = {seed for _, seed in pieces}
    seeds = sorted(seed for seed in all_seeds if all((system, seed) in pieces for system in of_own))
    shared = {name: seed for name, seed in sorted(pieces, reverse=True) if name in SAME_FOR_ALL}
    if not seeds or (missing := [name for name in wanted if name in SAME_FOR_ALL and name not in shared]):
        lacking = missing if seeds else [system for system in of_own if system not in {name for name, _ in pieces}]
        raise ValueError(
            f"{folder} has no seed with all of {', '.join(wanted)}; missing: {', '.join(lacking) or 'some'}."
        )
    chosen = {(system, seed): pieces[system, shared.get(system, seed)] for system in wanted for seed in seeds}
    _check_alike(list(chosen.values()))
    predictions, scores = [], []
    for (system, seed), piece in chosen.items():
        key = {"system": system, "seed": seed}
        rows = pd.read_parquet(piece.folder / "outputs.parquet")
        predictions.append(pd.DataFrame(key, index=rows.index).join(rows))
        scores += [key | row for row in piece.record["scores"]]
    first = next(iter(chosen.values())).record
    record = {name: first[name] for name in ("profile", "settings", "signatures", "data")}
    record |= {"seeds": seeds, "systems": wanted, "inside": {"seeds": seeds}, "models": {
        f"{system} {seed}": piece.record["content"] for (system, seed), piece in chosen.items()
        if "content" in piece.record}}  # fmt: skip
    outputs = pd.concat(predictions, ignore_index=True)
    sentences = outputs[(outputs["system"] == wanted[-1]) & (outputs["seed"] == seeds[0])]
    sentences = sentences[sentences["decoding"] == "greedy"][["split", "id"]].reset_index(drop=True)
    return results.Results(record, sentences, outputs, pd.DataFrame(scores), _tables(chosen))


def _of_training(study: Study, system: str) -> dict[str, Any]:
    stage = study.trained(system)
    return {
        "content": stage.content,
        "facts": dict(stage.facts),
        "budget": accounts.cost(study, system),
        "made by": {name: stage.record[name] for name in ("commit", "machine", "packages", "seconds")},
    }


def _tables(chosen: dict[tuple[str, int], Piece]) -> dict[str, pd.DataFrame]:
    """Return the tables of what happened inside the runs that pieces tell of: costs, logs."""
    trained = {key: piece for key, piece in chosen.items() if "budget" in piece.record}
    budget = [{"seed": seed} | piece.record["budget"] for (_, seed), piece in trained.items()]
    logs = []
    for (system, seed), piece in trained.items():
        log = pd.read_csv(piece.folder / "log.csv").melt("step", var_name="measure").dropna(subset=["value"])
        logs.append(log.assign(system=system, seed=seed)[["seed", "system", "step", "measure", "value"]])
    return {"budget": pd.DataFrame(budget), "logs": pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()}


def _check_alike(pieces: Sequence[Piece]) -> None:
    for name, what in (("settings", "other settings"), ("data", "other sentences")):
        values = {piece.record[name]: piece for piece in pieces}
        if len(values) > 1:
            one, other = list(values.values())[:2]
            raise ValueError(f"{one.folder} and {other.folder} are of {what}, and cannot stand in one comparison.")
