"""The book on other machines, imitated: it builds there, and what came out is told."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import asdict

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from project import copy_book_sources

from gecalign.book import claims, elsewhere
from gecalign.book.elsewhere import Arithmetic, Build

OTHER_MACHINES = [Build(Arithmetic("default", 1), 0), Build(Arithmetic("", 2), 1)]


@pytest.fixture(scope="module")
def elsewhere_built(smoke_book, tmp_path_factory):
    """The smoke book under two other arithmetics; its study of two seeds is taken over, the rest is made there."""
    folder = tmp_path_factory.mktemp("elsewhere")
    root = copy_book_sources(folder / "clone")
    (made,) = (smoke_book.runs / "smoke").glob("results-*")
    shutil.copytree(made, root / "results" / "smoke", ignore=shutil.ignore_patterns("stage.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GECALIGN_RUNS", str(folder / "runs"))
        rows = elsewhere.run(root, folder / "tables", OTHER_MACHINES, "smoke")
        yield folder, rows


def test_the_book_builds_under_other_arithmetic(elsewhere_built):
    folder, rows = elsewhere_built
    logs = [path.read_text()[-3000:] for path in folder.glob("runs/elsewhere/*/runs/smoke/seed-*/book.log")]
    assert [row["ended well"] for row in rows] == [True, True], logs
    for build in OTHER_MACHINES:
        assert (folder / "runs" / "elsewhere" / build.folder / "clone" / "_build" / "html" / "index.html").is_file()


def test_sentences_about_runs_are_told_and_the_others_are_the_same_everywhere(elsewhere_built):
    folder, rows = elsewhere_built
    builds, claimed, _ = elsewhere.load(folder / "tables")
    assert len(builds) == 2
    assert builds["record and arithmetic"].nunique() == 1
    assert builds["record and arithmetic"].gt(20).all()
    for build, row in zip(OTHER_MACHINES, rows, strict=True):
        told = claimed[claimed["seed"] == build.seed]
        assert len(told) == sum(row[outcome] for outcome in claims.MARKS) > 10
    assert set(claimed["outcome"]) <= set(claims.MARKS)


def test_what_is_finished_is_not_built_again(elsewhere_built, monkeypatch):
    folder, rows = elsewhere_built
    monkeypatch.setattr(elsewhere, "_build_book", lambda *_: pytest.fail("it was built again"))
    assert elsewhere.run(folder / "clone", folder / "tables", OTHER_MACHINES, "smoke") == rows


# ---- the plan


def test_at_least_eight_machines_are_imitated_in_folders_of_their_own():
    assert len({build.folder for build in elsewhere.BUILDS}) == len(elsewhere.BUILDS) >= 8
    assert {build.arithmetic.capability for build in elsewhere.BUILDS} == {"", "avx2", "default"}
    assert {build.arithmetic.threads for build in elsewhere.BUILDS} == {1, 2}
    assert {build.seed for build in elsewhere.BUILDS} == {0, 1, 2, 3, 4}


def test_the_environment_says_what_was_asked_for_and_nothing_else():
    assert Arithmetic("default", 2).environment == {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}
    assert Arithmetic("", 1).environment == {"OMP_NUM_THREADS": "1"}
    assert Arithmetic("", 1).name == "as it comes, 1 thread"


# ---- what is told


def test_claims_are_read_from_the_outputs_of_executed_chapters(tmp_path):
    said = claims.Claim("DPO gains.", "run", "not shown", "this run", 1.0, -1.0, 3.0)
    outputs = [new_output("display_data", data={"text/plain": said.text}, metadata={claims.KEY: asdict(said)})]
    cells = [new_markdown_cell("text"), new_code_cell("1", outputs=[new_output("stream", text="x"), *outputs])]
    chapter = tmp_path / "book" / "chapters" / "04-dpo.ipynb"
    chapter.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), chapter)
    assert list(elsewhere._claims_of(tmp_path)) == [{"chapter": "04-dpo", **asdict(said)}]


def pairs(*rows: tuple[str, str, str, float, float]) -> pd.DataFrame:
    columns = ["differ in", "first", "second", "outputs that differ", "BLEU"]
    return pd.DataFrame(rows, columns=columns).assign(system="sft", gain=0.5)


@pytest.mark.parametrize("alike", [True, False])
def test_builds_are_shown_with_what_was_asked_and_how_they_ended_where_that_differs(alike):
    rows = {"capability": ["", "avx2"], "threads": [1, 2], "seed": [0, 0], "ended well": [True, alike], "shown": [3, 2],
            "not shown": [0, 1], "contradicted": [0, 0], "record and arithmetic": [78, 78 if alike else 77],
            "sft": [73.26, 73.3], "dpo": [78.0, 77.0], "grpo": [77.0, 76.0]}  # fmt: skip
    shown = elsewhere.described(pd.DataFrame(rows))
    assert shown.index.tolist() == ["as it comes, 1 thread", "avx2, 2 threads"]
    assert shown["SFT"].tolist() == [73.3, 73.3]
    assert {"ended well", "others held"} & set(shown) == (set() if alike else {"ended well", "others held"})
    assert alike or shown[["ended well", "others held"]].to_numpy().tolist() == [["yes", 78], ["no", 77]]


def test_distances_are_means_without_signs():
    table = elsewhere.distances(pairs(("seed", "a", "b", 0.4, -2.0), ("seed", "a", "c", 0.2, 1.0)))
    row = table.loc[("sft", "seed")]
    assert row["outputs that differ"] == pytest.approx(0.3)
    assert row["BLEU"] == pytest.approx(1.5)
    assert row["pairs"] == 2


def test_what_is_the_same_to_the_letter_is_no_other_arithmetic():
    same, other = ("arithmetic", "a", "b", 0.0, 0.0), ("arithmetic", "a", "c", 0.2, 1.0)
    found = pairs(same, other, ("arithmetic", "b", "c", 0.2, 1.0))
    assert elsewhere.distances(found).loc[("sft", "arithmetic"), "pairs"] == 1  # b is a once more
    assert elsewhere.distinct(found)[["first", "second"]].to_numpy().tolist() == [["a", "c"]]


def test_pairs_of_builds_differ_in_one_thing(monkeypatch):
    texts = {build.folder: ([str(build)], float(i), 0.0) for i, build in enumerate(elsewhere.BUILDS)}
    monkeypatch.setattr(elsewhere, "_tested", lambda build, *_: texts[build.folder])
    made = list(elsewhere._pairs(elsewhere.BUILDS, [{"sft": 1.0}] * len(elsewhere.BUILDS), None, "tiny"))
    one_thing = [
        (a, b)
        for a, b in itertools.combinations(elsewhere.BUILDS, 2)
        if (a.seed == b.seed) != (a.arithmetic == b.arithmetic)
    ]
    assert len(made) == len(one_thing) * len(elsewhere.SYSTEMS)
    assert {row["differ in"] for row in made} == {"seed", "arithmetic"}


def test_a_build_that_ended_early_is_in_no_pair(monkeypatch):
    monkeypatch.setattr(elsewhere, "_tested", lambda *_: (["a"], 1.0, 0.0))
    rows = [{"sft": 1.0} for _ in elsewhere.BUILDS]
    rows[0] = {}
    first = f"{elsewhere.BUILDS[0].arithmetic.name}, seed {elsewhere.BUILDS[0].seed}"
    made = list(elsewhere._pairs(elsewhere.BUILDS, rows, None, "tiny"))
    assert first not in {row["first"] for row in made}
