"""The built site as a reader meets it: from a file, in a real browser, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browsing import PATIENCE, chromium, outside
from bs4 import BeautifulSoup, Tag

pytestmark = pytest.mark.slow

WINDOWS = {"wide": 1280, "narrow": 390}  # CSS pixels: a laptop, a telephone
IMAGE_ENDINGS = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp")


def html_pages(site: Path) -> list[Path]:
    """The pages that stay where they are: index.html at the top only leads to the first chapter."""
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return sorted(path for path in found if path != site / "index.html")


@pytest.fixture(scope="module")
def pages(smoke_book) -> dict[Path, BeautifulSoup]:
    site = smoke_book.page.parent
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in html_pages(site)}


# --- What the files say ---------------------------------------------------------------------------


def test_every_image_has_a_text_that_says_what_it_shows(pages):
    images = [(path.name, image) for path, page in pages.items() for image in page.select("main img")]
    assert images, "the book shows no image at all"
    poor = [(name, image.get("src")) for name, image in images if not describes(image.get("alt"))]
    assert not poor, "give the cell an mystnb.image.alt"


def describes(alt: str | None) -> bool:
    """A description has several words; what Sphinx puts in by itself is the path of the file."""
    return bool(alt) and len(alt.split()) >= 3 and not alt.strip().endswith(IMAGE_ENDINGS)


def test_every_internal_link_resolves(pages):
    anchors = {path: {tag.get("id") for tag in page.find_all(id=True)} for path, page in pages.items()}
    dead = [
        f"{path.name}: {link['href']}"
        for path, page in pages.items()
        for link in page.find_all("a", href=True)
        if not resolves(path, link, anchors)
    ]
    assert not dead


def resolves(path: Path, link: Tag, anchors: dict[Path, set[str | None]]) -> bool:
    parts = urlsplit(str(link["href"]))
    if parts.scheme in ("http", "https", "mailto"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return False
    return not parts.fragment or target not in anchors or unquote(parts.fragment) in anchors[target]


def test_no_table_is_left_as_text(pages):
    paragraphs = [(path.name, p.get_text().strip()) for path, page in pages.items() for p in page.select("main p")]
    assert not [(name, text[:80]) for name, text in paragraphs if text.startswith("|")]


def test_no_page_refers_to_a_script_style_or_image_elsewhere(pages):
    references = [
        f"{path.name}: {tag.get('src') or tag.get('href')}"
        for path, page in pages.items()
        for tag in page.select("script[src], img[src], iframe[src], link[rel=stylesheet], link[rel=preload]")
        if urlsplit(str(tag.get("src") or tag.get("href"))).netloc
    ]
    assert not references


# --- What a browser does with them ----------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture(scope="module", params=WINDOWS)
def visited(request, scheme, browser, smoke_book):
    """Every page, opened once in this colour scheme and window: what went wrong, how it looked."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": WINDOWS[request.param], "height": 900})
    context.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on("requestfailed", lambda r: complaints.append(f"not found: {r.url}"))
    page.on("request", lambda r: complaints.append(f"asked for {r.url}") if outside(r.url) else None)
    seen = {path: look(page, path, complaints) for path in html_pages(smoke_book.page.parent)}
    context.close()
    return seen


def look(page, path: Path, complaints: list[str]) -> dict[str, object]:
    complaints.clear()
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise ?? null")  # waits until the formulas are set
    facts = page.evaluate(
        """() => ({
            theme: document.documentElement.dataset.theme,
            width: document.documentElement.scrollWidth, window: window.innerWidth,
            formulas: document.querySelectorAll('.math').length,
            typeset: document.querySelectorAll('.math mjx-container > svg').length,
            mathErrors: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
            images: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
        })"""
    )
    return {**facts, "complaints": list(complaints)}


@pytest.mark.browser
def test_no_page_complains_or_asks_anybody_for_anything(visited):
    assert not {path.name: facts["complaints"] for path, facts in visited.items() if facts["complaints"]}


@pytest.mark.browser
def test_pages_follow_the_colour_scheme_of_the_system(visited, scheme):
    assert {facts["theme"] for facts in visited.values()} == {scheme}


@pytest.mark.browser
def test_no_page_scrolls_sideways(visited):
    assert not {path.name: f["width"] for path, f in visited.items() if f["width"] > f["window"]}


@pytest.mark.browser
def test_every_formula_is_typeset_and_every_image_shown(visited):
    assert sum(f["formulas"] for f in visited.values()) > 0
    assert not {
        p.name: f for p, f in visited.items() if f["formulas"] != f["typeset"] or f["mathErrors"] or f["images"]
    }


@pytest.mark.browser
def test_the_first_page_leads_to_the_first_chapter(browser, smoke_book):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(smoke_book.page.as_uri())
    page.wait_for_url("**/00-welcome.html")
    assert page.get_by_role("heading", level=1).count() == 1
    page.close()
