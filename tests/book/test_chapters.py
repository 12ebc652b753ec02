"""The chapters as text: which there are, what they need, and what decides how they come out."""

from __future__ import annotations

import jupytext
import pytest
from project import PROJECT
from small_book import chapter_text, needing, write_chapter

from gecalign.book import chapters, tasks


def test_chapters_are_selected_by_name_or_number(clone):
    for name in ("00-good", "01-task", "A1-tinygec"):
        write_chapter(clone, name, chapter_text("print(1)"))
    available = chapters.every(clone)
    assert [c.name for c in available] == ["00-good", "01-task", "A1-tinygec"]
    assert [c.name for c in chapters.select(available, ["A1", "01-task"])] == ["A1-tinygec", "01-task"]
    assert chapters.select(available, []) == available
    with pytest.raises(ValueError, match="no chapter '02'; there are: 00-good, 01-task, A1-tinygec"):
        chapters.select(available, ["02"])


def test_outside_a_clone_the_error_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.setattr(chapters, "__file__", str(tmp_path / "site-packages" / "gecalign" / "book" / "chapters.py"))
    with pytest.raises(ValueError, match="Change into the clone"):
        chapters.project_root(tmp_path)


def test_the_project_is_found_from_a_folder_inside_it(clone):
    assert chapters.project_root(clone / "notebooks") == clone


# --- What a chapter needs -------------------------------------------------------------------------


def test_a_chapter_names_what_it_needs_in_its_header(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("1", needing("sft", "dpo")))
    assert chapters.needs(chapter.source, ("sft", "dpo")) == ("sft", "dpo")
    with pytest.raises(ValueError, match=r"00-good\.md needs dpo by its header; products are: sft\."):
        chapters.needs(chapter.source, ("sft",))


def test_a_chapter_without_needs_needs_nothing(clone):
    assert chapters.needs(write_chapter(clone, "00-good", chapter_text("1")).source, ()) == ()


@pytest.mark.parametrize("chapter", chapters.every(PROJECT), ids=lambda c: c.name)
def test_the_needs_of_the_book_exist_and_survive_jupytext(chapter):
    named = chapters.needs(chapter.source, tuple(tasks.PRODUCTS))
    saved = jupytext.writes(chapters.read(chapter.source), fmt="md:myst")
    assert tuple(jupytext.reads(saved, fmt="md:myst").metadata.get("gecalign", {}).get("needs", ())) == named


# --- What decides a chapter -----------------------------------------------------------------------


def key(clone, seed=0, profile="tiny", environment=None):
    around = chapters.surroundings(clone, {"PROFILE": profile, "SEED": seed}, environment or {})
    return chapters.key(chapters.every(clone)[0], around)


def test_the_key_stays_while_nothing_changes(clone):
    write_chapter(clone, "00-good", chapter_text("1"))
    assert key(clone) == key(clone, environment={"HOME": "/elsewhere"})


def test_the_key_changes_with_text_parameters_results_and_threads(clone):
    write_chapter(clone, "00-good", chapter_text("1"))
    keys = [key(clone), key(clone, 1), key(clone, profile="smoke"), key(clone, environment={"OMP_NUM_THREADS": "1"})]
    (clone / "results").mkdir()
    (clone / "results" / "trials.csv").write_text("a row")
    keys.append(key(clone))
    write_chapter(clone, "00-good", chapter_text("2"))
    assert len({*keys, key(clone)}) == 6


def test_the_key_changes_with_the_version_of_a_package(clone, monkeypatch):
    write_chapter(clone, "00-good", chapter_text("1"))
    before = key(clone)
    monkeypatch.setattr(chapters, "_version", lambda package: "99")
    assert key(clone) != before


def test_the_library_is_all_its_files_but_compiled_ones(tmp_path):
    for name in ("a.py", "tinygec/base/model.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    before = chapters.library_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("1")
    assert chapters.library_digest(tmp_path) == before
    (tmp_path / "tinygec/base/model.bin").write_text("2")
    assert chapters.library_digest(tmp_path) != before


def test_what_is_no_notebook_is_not_whole(clone):
    chapter = write_chapter(clone, "00-good", chapter_text("1"))
    assert not chapters.is_whole(chapter)
    chapter.executed.parent.mkdir(parents=True)
    for text in ("", "{}", "[]", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}'):
        chapter.executed.write_text(text)
        assert not chapters.is_whole(chapter)
