"""The site: what it wants, what it refuses, and how it is built of what is not whole."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook
from small_book import KERNEL, chapter_text, with_site, write_chapter

from gecalign.book import site
from gecalign.book.chapters import BookError


def test_a_prepared_folder_shows_text_under_a_box_and_leaves_the_clone_alone(clone):
    with_site(clone, "book/chapters/00-good", "book/glossary")
    chapter = write_chapter(clone, "00-good", chapter_text("print(1)"))
    folder = site.prepare(clone, "draft", {"00-good": site.RUNNING})
    assert "still being run" in (folder / "book/chapters/00-good.ipynb").read_text(encoding="utf-8")
    assert (folder / "_toc.yml").is_file()
    assert not chapter.executed.exists()


@pytest.fixture
def small_site(clone):
    """A book of two prose pages, and a site that an earlier build left."""
    with_site(clone, "book/glossary", "book/bibliography")
    site.first_page(clone).parent.mkdir(parents=True)
    site.first_page(clone).write_text("the old site")
    return clone


@pytest.mark.slow
def test_a_warning_fails_the_site_and_leaves_the_old_one(small_site):
    with (small_site / "book" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\nSee {ref}`nowhere-at-all`.\n")
    with pytest.raises(BookError, match=r"glossary\.md:\d+: WARNING.*nowhere-at-all"):
        site.render(small_site)
    assert site.first_page(small_site).read_text() == "the old site"


@pytest.mark.slow
def test_a_built_site_takes_the_place_of_the_old_one(small_site):
    assert "the old site" not in site.render(small_site).read_text()
    assert sorted(p.name for p in (small_site / "_build").iterdir()) == ["html"]


GLUED = (
    'glue("never-run", 1)\n```\n\nThe value is {glue:text}`never-run:.1f`, as {doc}`nowhere` says.\n\n```{code-cell}\n1'
)


@pytest.mark.slow
def test_what_was_not_run_is_rendered_as_text_although_values_are_missing(clone):
    with_site(clone, "book/chapters/00-good", "book/glossary")
    write_chapter(clone, "00-good", chapter_text(GLUED))
    page = site.render(clone, strict=False).parent / "book" / "chapters" / "00-good.html"
    text = page.read_text(encoding="utf-8")
    assert "This chapter has not been run yet" in text
    assert "The value is" in text


# --- The repository's address ------------------------------------------------------------------------

REPOSITORY_BUTTONS = ("repository", "issues", "edit")


def buttons(page: Path) -> dict[str, str]:
    """Return where the buttons lead that need a repository."""
    parsed = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    found = {name: parsed.find("a", class_=f"btn-source-{name}-button") for name in REPOSITORY_BUTTONS}
    return {name: link["href"] for name, link in found.items() if link}


@pytest.mark.slow
def test_without_a_repository_no_button_leads_to_one(small_site):
    set_repository(small_site, "")
    assert buttons(site.render(small_site).with_name("book") / "glossary.html") == {}


@pytest.mark.slow
def test_with_a_repository_its_buttons_lead_there(small_site):
    executed = small_site / "book" / "chapters" / "02-sft.ipynb"
    executed.parent.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A chapter")], metadata={"kernelspec": KERNEL}), executed)
    toc = (small_site / "_toc.yml").read_text()
    (small_site / "_toc.yml").write_text(toc.replace("chapters: [", "chapters: [{file: book/chapters/02-sft}, "))
    set_repository(small_site, "https://github.com/somebody/gecalign/")
    folder = site.render(small_site).parent
    page, chapter = (
        buttons(folder / "book" / "bibliography.html"),
        buttons(folder / "book" / "chapters" / "02-sft.html"),
    )
    assert page["repository"] == "https://github.com/somebody/gecalign"
    assert page["issues"].startswith("https://github.com/somebody/gecalign/issues/new?")
    assert page["edit"] == "https://github.com/somebody/gecalign/edit/main/book/bibliography.md"
    assert chapter["edit"] == "https://github.com/somebody/gecalign/edit/main/notebooks/02-sft.md"  # not what is built


@pytest.mark.slow
def test_a_repository_that_no_button_can_lead_to_is_refused(small_site):
    set_repository(small_site, "git@example.org:gecalign")
    with pytest.raises(BookError, match=r"repository\.url in _config\.yml is 'git@example\.org:gecalign'"):
        site.render(small_site)


def set_repository(root: Path, address: str) -> None:
    text = (root / "_config.yml").read_text(encoding="utf-8")
    (root / "_config.yml").write_text(re.sub(r"(?m)^  url:.*$", f'  url: "{address}"', text), encoding="utf-8")
