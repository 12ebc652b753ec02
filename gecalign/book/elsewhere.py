"""Does the book hold on other machines? It is built under perturbed arithmetic and with other seeds, and compared.

A processor with other vector units, or another number of threads, adds numbers in another order and rounds them
otherwise; after a few hundred updates another model has come of it. Both can be imitated on one machine: PyTorch's own
kernels are chosen by `ATEN_CPU_CAPABILITY`, the threads by `OMP_NUM_THREADS`. (The matrix products of its libraries
go by the processor alone, so that a real other machine differs in more.)

    gecalign elsewhere          makes `results/elsewhere/`; about ten minutes a build on two cores

A build is a process of its own in a folder of its own, and is kept: the command goes on from what is finished.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from gecalign import metrics
from gecalign.book import claims
from gecalign.runtime import processes, store
from gecalign.study import Study
from gecalign.study.tables import bleu_statistics

SYSTEMS = ("sft", "sft-continued", "dpo", "grpo", "sft-careful")  # what a build trains
CLAIM_COLUMNS = ["capability", "threads", "seed", "chapter", "sentence", "outcome", "estimate", "low", "high"]
PAIR_COLUMNS = ["differ in", "first", "second", "system", "outputs that differ", "BLEU", "gain"]
SOURCES = ("_config.yml", "_toc.yml", "book", "notebooks", "results")  # what a book is built from


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How PyTorch computes: vector units of its kernels ("default": none, "": whatever the processor has), threads."""

    capability: str
    threads: int

    @property
    def name(self) -> str:
        """As the tables have it: "as it comes, 1 thread"."""
        return f"{self.capability or 'as it comes'}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make it so."""
        chosen = {"ATEN_CPU_CAPABILITY": self.capability} if self.capability else {}
        return chosen | {"OMP_NUM_THREADS": str(self.threads)}


@dataclass(frozen=True, slots=True)
class Build:
    """One build of the book: which arithmetic, which seed."""

    arithmetic: Arithmetic
    seed: int

    @property
    def folder(self) -> str:
        """A name for its folder."""
        how = self.arithmetic
        return f"{how.capability or 'native'}-{how.threads}-seed-{self.seed}"


PLAIN = Arithmetic("", 1)
OTHERS = (Arithmetic("", 2), Arithmetic("avx2", 1), Arithmetic("default", 1))
# Seeds under one arithmetic, and other arithmetics with one of these seeds, so that pairs differ in one thing. Where
# the processor has no more than AVX2, asking for it changes nothing: that build tells whether the same gives the same.
BUILDS = (*(Build(PLAIN, seed) for seed in range(5)), *(Build(how, 0) for how in OTHERS))


def run(root: Path, to: Path, builds: Sequence[Build] = BUILDS, profile: str = "tiny") -> list[dict[str, Any]]:
    """Build the book so often, write the tables into a folder, and return the row of each build.

    Args:
        root: the project.
        to: where `builds.csv`, `claims.csv` and `pairs.csv` go.
    """
    rows = [_built(build, root, profile) for build in builds]
    to.mkdir(parents=True, exist_ok=True)
    built = [row["build"] for row in rows]
    tables = {"builds": (pd.DataFrame(built), "%.4f"),
              "claims": (pd.DataFrame(_claims(rows), columns=CLAIM_COLUMNS), "%.5g"),
              "pairs": (pd.DataFrame(_pairs(builds, built, root, profile), columns=PAIR_COLUMNS), "%.4f")}  # fmt: skip
    for name, (table, floats) in tables.items():
        text = table.to_csv(index=False, float_format=floats, lineterminator="\n")
        store.write_text(to / f"{name}.csv", text)
    return [row["build"] for row in rows]


def load(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the tables that `run` wrote: builds, claims, pairs.

    Raises:
        ValueError: there are none.
    """
    if not (folder / "builds.csv").exists():
        raise ValueError(f"{folder} has no builds.csv. `gecalign elsewhere` makes it, in a few hours.")
    builds, claimed, pairs = (pd.read_csv(folder / f"{name}.csv") for name in ("builds", "claims", "pairs"))
    builds["capability"] = builds["capability"].fillna("")
    return builds, claimed, pairs


def described(builds: pd.DataFrame) -> pd.DataFrame:
    """Return the builds as readers see them: what was asked of PyTorch, the seed, what sentences became, BLEU.

    How builds ended, and how many other sentences held, has a column only where builds differ in it.
    """
    ended = builds["ended well"].map({True: "yes", False: "no"})
    told = {"others held": builds["record and arithmetic"], "ended well": ended}
    columns = {"seed": "seed", "shown": "shown", "not shown": "not", "contradicted": "against",
               "sft": "SFT", "dpo": "DPO", "grpo": "GRPO"}  # fmt: skip
    shown = builds[list(columns)].rename(columns=columns).round(1)
    for name, column in told.items():
        if column.nunique() > 1:
            shown.insert(1, name, column)
    names = [Arithmetic(c, t).name for c, t in zip(builds["capability"], builds["threads"], strict=True)]
    return shown.set_axis(pd.Index(names))


def distinct(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs without builds whose models are those of an earlier build, to the letter.

    What they asked for was the same arithmetic: their distances to others would count those of the earlier one twice.
    """
    same = pairs.groupby(["first", "second"])["outputs that differ"].transform("max") == 0
    again = set(pairs.loc[same, "second"])
    return pairs[~(pairs["first"].isin(again) | pairs["second"].isin(again))]


def distances(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return how far products lie apart that differ in the seed, or in the arithmetic: means over pairs of builds.

    Columns: pairs, the share of test outputs that differ (0-1), and the mean distance in BLEU and in the gain over SFT
    continued.
    """
    other = distinct(pairs)
    far = other.assign(BLEU=other["BLEU"].abs(), gain=other["gain"].abs()).groupby(["system", "differ in"], sort=False)
    return far[["outputs that differ", "BLEU", "gain"]].mean().assign(pairs=far.size())


def place(build: Build, root: Path) -> Path:
    """Return the folder of a build: `clone/` is what it builds from, `runs/` its products."""
    return store.runs_folder().resolve() / "elsewhere" / build.folder


def _built(build: Build, root: Path, profile: str) -> dict[str, Any]:
    """Return what came of a build, made now unless it is there; one that failed is tried again."""
    folder = place(build, root)
    outcome = folder / f"{profile}.json"
    if outcome.exists() and (found := json.loads(outcome.read_text(encoding="utf-8")))["build"]["ended well"]:
        return found
    _copy_sources(root, folder / "clone")
    processes.say(f"[elsewhere] {build.arithmetic.name}, seed {build.seed}")
    done = _build_book(build, folder, profile)
    found = {"build": _row(build, folder, profile, done.returncode == 0), "claims": list(_claims_of(folder / "clone"))}
    found["build"] |= _counts(found["claims"])
    if done.returncode:
        processes.say(done.stdout[-2000:])
    store.write_text(outcome, json.dumps(found, indent=1, ensure_ascii=False))
    return found


def _copy_sources(root: Path, clone: Path) -> None:
    generated = shutil.ignore_patterns("chapters", "elsewhere", "__pycache__", ".ipynb_checkpoints")
    for name in SOURCES:
        source, target = root / name, clone / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=generated, dirs_exist_ok=True)
        else:
            clone.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    # what chapters show of this very command is that of before, or nothing yet
    if (root / "results" / "elsewhere").exists():
        shutil.copytree(root / "results" / "elsewhere", clone / "results" / "elsewhere", dirs_exist_ok=True)


def _build_book(build: Build, folder: Path, profile: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    environment = (
        os.environ | build.arithmetic.environment | {"GECALIGN_RUNS": str(folder / "runs"), "PYTHONPATH": path}
    )
    command = [sys.executable, "-m", "gecalign", "book", "--profile", profile, "--seed", str(build.seed), "--no-early"]
    return subprocess.run(
        command, cwd=folder / "clone", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip


def _row(build: Build, folder: Path, profile: str, well: bool) -> dict[str, Any]:
    row = {**asdict(build.arithmetic), "seed": build.seed, "ended well": well}
    with store.only_existing():
        study = Study(profile, build.seed, folder / "runs")
        try:
            row["sft weights"] = study.sft().record["files"]["model/model.safetensors"][:12]
            row |= {system: study.evaluation(system, "test").scores.scores["BLEU"].value for system in SYSTEMS}
        except store.NotMade:  # it ended before
            pass
    return row


def _claims_of(clone: Path) -> Iterator[dict[str, Any]]:
    """Yield the claims of all executed chapters, as they stand in the notebooks' outputs."""
    for path in sorted((clone / "book" / "chapters").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if found := output.get("metadata", {}).get(claims.KEY):
                    yield {"chapter": path.stem, **found}


def _counts(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many sentences about the run came out how, and how many others hold."""
    counted = {outcome: sum(c["basis"] == "run" and c["outcome"] == outcome for c in found) for outcome in claims.MARKS}
    return counted | {"record and arithmetic": sum(c["basis"] != "run" and c["outcome"] == "shown" for c in found)}


def _claims(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        build = {name: row["build"][name] for name in ("capability", "threads", "seed")}
        for claim in row["claims"]:
            if claim["basis"] == "run":
                yield build | claim


def _pairs(
    builds: Sequence[Build], rows: Sequence[Mapping[str, Any]], root: Path, profile: str
) -> Iterator[dict[str, Any]]:
    """Yield for each pair of builds that differ in one thing, and each system, how far its products lie apart."""
    whole = [build for build, row in zip(builds, rows, strict=True) if "sft" in row]
    for first, second in itertools.combinations(whole, 2):
        same_seed, same_arithmetic = first.seed == second.seed, first.arithmetic == second.arithmetic
        if same_seed == same_arithmetic:
            continue
        for system in SYSTEMS:
            yield {
                "differ in": "arithmetic" if same_seed else "seed",
                "first": f"{first.arithmetic.name}, seed {first.seed}",
                "second": f"{second.arithmetic.name}, seed {second.seed}",
                "system": system,
                **_apart(_tested(first, root, profile, system), _tested(second, root, profile, system)),
            }


def _tested(build: Build, root: Path, profile: str, system: str) -> tuple[list[str], float, float]:
    """Return what a system of a build wrote on the test set, its BLEU, and its gain over SFT continued."""
    with store.only_existing():
        study = Study(profile, build.seed, place(build, root) / "runs")
        found, control = (study.evaluation(name, "test") for name in (system, "sft-continued"))
    values = [float(metrics.bleu.score(bleu_statistics(one).sum(axis=0))) for one in (found, control)]
    return found.hypotheses, values[0], values[0] - values[1]


def _apart(first: tuple[list[str], float, float], second: tuple[list[str], float, float]) -> dict[str, float]:
    differing = sum(a != b for a, b in zip(first[0], second[0], strict=True)) / len(first[0])
    return {"outputs that differ": differing, "BLEU": second[1] - first[1], "gain": second[2] - first[2]}
