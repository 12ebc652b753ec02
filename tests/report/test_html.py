"""The page of a report: it says what the text says, whatever the data hold, and opens quietly."""

import re

import matplotlib.pyplot as plt
import pytest
from browsing import PATIENCE, chromium, outside
from bs4 import BeautifulSoup
from reports import REFERENCES, RESAMPLES, SOURCES, SYSTEMS, TRUNCATED, WRONG, build

from gecalign import metrics, report
from gecalign.report import html, plots
from gecalign.statistics.compare import Interval


@pytest.fixture(scope="module")
def made() -> report.Report:
    return build(truncated=TRUNCATED)


BAD = '<script>document.title = "broken"</script><img src="http://127.0.0.1/x.png"> & $x_1$'


@pytest.fixture(scope="module")
def hostile() -> report.Report:
    """A report with everything that could break a page in its names and sentences."""

    def spoilt(texts: list[str]) -> list[str]:
        return [f"{BAD} {text} {'long' * 100}" if i in WRONG[:8] else text for i, text in enumerate(texts)]

    alike = {f"a_very_long_name_{i}_of_a_system": spoilt(SYSTEMS["few"]) for i in range(2)}
    systems = {f"half {BAD}": spoilt(SYSTEMS["half"]), BAD: spoilt(SYSTEMS["other half"]), "$x_1$": SYSTEMS["all"]}
    inputs = report.Inputs(systems | alike, spoilt(SOURCES), spoilt(REFERENCES))
    return report.build(inputs, report.Settings(resamples=RESAMPLES))


def test_the_page_shows_what_the_text_shows(made):
    page = BeautifulSoup(html.page(made), "html.parser")
    shown = re.sub(r"\s+", " ", page.get_text().replace("\N{MINUS SIGN}", "-"))
    for one in made.verdicts.values():
        assert one.text in shown
    for words in (*report.method_words(made), report.luck_words(made), report.visible_words(made)):
        assert words.replace("  ", " ") in shown.replace("  ", " ")
    for signature in made.signatures.values():
        assert signature in shown
    assert [li["class"] for li in page.select(".verdicts li")] == [[one.kind] for one in made.verdicts.values()]
    assert len(page.select("figure svg")) == len(metrics.METRICS)
    labels = [figure["aria-label"] for figure in page.select("figure svg")]
    for metric, label in zip(made.differences, labels, strict=True):
        assert f"in {metric}:" in label
        assert f"few {made.differences[metric]['few'].estimate:+.2f} (" in label
    assert page.select("details ins")
    assert page.select("details del")


def test_figures_have_a_row_a_system_even_where_names_are_long_and_alike(hostile):
    figure = BeautifulSoup(html.page(hostile), "html.parser").select_one("figure svg")
    found = hostile.differences["BLEU"].values()
    shown = [text.get_text(strip=True).replace("\N{MINUS SIGN}", "-") for text in figure.select("text")]
    assert [text for text in shown if re.fullmatch(r"[+-]\d+\.\d\d", text)] == [f"{one.estimate:+.2f}" for one in found]
    names = ["1. copy the input", "2. <script>d… & $x_1$", "3. $x_1$", "4. a_very_lo…a_system", "5. a_very_lo…a_system"]
    assert [text for text in shown if re.match(r"\d\. ", text)] == names


def test_nothing_from_the_data_becomes_markup_and_nothing_is_requested(hostile):
    text = html.page(hostile)
    page = BeautifulSoup(text, "html.parser")
    assert not page.select("script, img, link, iframe, object, [src], [href^=http], [onload]")
    assert "@import" not in text
    assert "url(http" not in text
    assert page.h1.get_text() == page.title.get_text() == f"4 systems against half {BAD}"
    assert len(re.findall("https?://", text)) == len(re.findall("http://127.0.0.1/x.png", text)) > 0  # escaped text
    drawings = "".join(map(str, page.select("figure svg"))).lower()
    assert not [colour for colour in html.COLOURS if colour.lower() in drawings]  # all follow the page
    ids = [tag["id"] for tag in page.select("[id]")]
    assert {tag["xlink:href"][1:] for tag in page.select("use")} <= set(ids)


def test_characters_that_cannot_be_seen_are_visible_in_the_examples():
    sources = [f"a\u202eb {text}" for text in SOURCES]
    inputs = report.Inputs({"x": REFERENCES, "y": SOURCES}, sources, REFERENCES)
    page = html.page(report.build(inputs, report.Settings(resamples=RESAMPLES)))
    assert "\u202e" not in page
    assert "a⟨U+202E⟩b" in page


def test_what_is_said_of_the_texts_stands_in_the_text_the_page_and_the_data_of_a_report():
    made = build(notes=["b.csv <i>: blanks around 3 of 200 sentences were taken off."])
    assert "ABOUT THE TEXTS\nb.csv <i>: blanks around 3" in report.to_text(made)
    assert report.to_dict(made)["notes"] == list(made.notes)
    page = BeautifulSoup(html.page(made), "html.parser")
    assert made.notes[0] in page.get_text()
    assert "ABOUT THE TEXTS" not in report.to_text(build())


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_opens_quietly_in_both_schemes_and_fits_a_narrow_window(hostile, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html.page(hostile), encoding="utf-8")
    complaints, backgrounds = [], {}
    with chromium() as browser:
        for scheme in ("light", "dark"):
            for width in (1280, 360):
                page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
                page.set_default_timeout(PATIENCE)
                page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: complaints.append(str(error)))
                page.on("request", lambda r: complaints.append(r.url) if outside(r.url) else None)
                page.goto(path.as_uri(), wait_until="load")
                page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert "broken" not in page.title().split()[:1]
                backgrounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
                colour = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
                assert colour == page.evaluate("getComputedStyle(document.body).color")  # figures follow the scheme
                page.close()
    assert not complaints
    assert backgrounds["light"] == "rgb(255, 255, 255)" != backgrounds["dark"]


def test_the_forest_fills_points_whose_interval_does_not_contain_zero():
    figure, (ax,) = plots.figure()
    rows = {"clear": Interval(0.5, 1.5, 1.0, "", 9, 9, 0.95), "not": Interval(-2.0, 1.0, -0.5, "", 9, 9, 0.95)}
    plots.forest(ax, rows, "difference", "BLEU")
    zero, *drawn = ax.get_lines()
    assert list(zero.get_xdata()) == [0, 0]
    assert [list(line.get_xdata()) for line in drawn] == [[0.5, 1.5], [1.0], [-2.0, 1.0], [-0.5]]
    assert [line.get_ydata()[0] for line in drawn] == [1, 1, 0, 0]
    assert [drawn[i].get_markerfacecolor() for i in (1, 3)] == [plots.BLUE, "white"]
    assert [drawn[i].get_linestyle() for i in (0, 2)] == ["-", "--"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["clear", "not"]
    plt.close(figure)
