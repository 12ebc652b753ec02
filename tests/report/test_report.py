import json
import os
import re
from dataclasses import asdict, fields
from pathlib import Path

import factories
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from browsing import PATIENCE, chromium, outside
from bs4 import BeautifulSoup

from gecalign import metrics, report
from gecalign.report import html, plots
from gecalign.statistics import compare, design
from gecalign.statistics.compare import Interval
from gecalign.statistics.resampling import Resampling

N, RESAMPLES = 200, 400
SOURCES, REFERENCES = (list(texts) for texts in zip(*factories.pairs(N), strict=True))
WRONG = [i for i in range(N) if SOURCES[i] != REFERENCES[i]]


def fixing(corrected: set[int]) -> list[str]:
    """Return outputs that correct these sentences and copy the others."""
    return [REFERENCES[i] if i in corrected else SOURCES[i] for i in range(N)]


HALF = set(WRONG[::2])
SYSTEMS = {
    "half": fixing(HALF),
    "all": fixing(set(WRONG)),
    "few": fixing(set(WRONG[::8])),
    "other half": fixing(set(WRONG[1::2])),
    "but one": fixing(HALF - {WRONG[0]}),
    "same": fixing(HALF),
}
TRUNCATED = {"all": [i == 0 for i in range(N)]}


def build(systems=SYSTEMS, **settings) -> report.Report:
    return report.build(systems, SOURCES, REFERENCES, **({"resamples": RESAMPLES, "margin": 1.0} | settings))


@pytest.fixture(scope="module")
def made() -> report.Report:
    return build(truncated=TRUNCATED)


# --- Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_scores_and_differences_are_those_of_compare(made, metric):
    texts = {report.COPY: SOURCES, **SYSTEMS}
    rows = {name: metric.statistics(hypotheses, REFERENCES, SOURCES) for name, hypotheses in texts.items()}
    others = {name: found for name, found in rows.items() if name != "half"}
    signature = metric.corpus(SYSTEMS["all"], REFERENCES, SOURCES).signature
    how = Resampling(RESAMPLES)
    assert made.signatures[metric.name] == signature
    assert made.scores[metric.name] == compare.intervals(rows, metric.score, how, signature)
    assert made.differences[metric.name] == compare.paired_differences(
        others, rows["half"], metric.score, how, signature
    )


def test_p_values_are_corrected_over_the_systems_and_doing_nothing_is_not_one_of_them(made):
    p = {name: one.p_value for name, one in made.differences["BLEU"].items()}
    nothing = p.pop(report.COPY)
    assert made.p_holm["BLEU"] == {report.COPY: nothing, **compare.holm(p)}
    assert made.p_holm["BLEU"]["all"] == pytest.approx(5 * p["all"])


def test_the_smallest_visible_difference_is_that_of_the_first_of_five_tests(made):
    rows = [metrics.bleu.statistics(SYSTEMS[name], REFERENCES) for name in ("all", "half")]
    sd = compare.paired_sd(*rows, metrics.bleu.score)
    assert made.visible["BLEU"]["all"] == design.smallest_visible_effect(N, sd, alpha=0.05 / 5)
    alone = build({name: SYSTEMS[name] for name in ("half", "all")})
    assert alone.visible["BLEU"]["all"] == design.smallest_visible_effect(N, sd)


def test_behaviour_and_edit_scores_are_those_of_evaluate(made):
    for name, hypotheses in SYSTEMS.items():
        alone = metrics.evaluate(hypotheses, REFERENCES, SOURCES, TRUNCATED.get(name))
        assert repr(made.rates[name]) == repr(alone.rates)  # repr: NaN is what it is
        assert made.edits[name] == {"precision": alone.edit_precision, "recall": alone.edit_recall}
    assert made.changed["all"] == pytest.approx(len(WRONG[1::2]) / N)
    assert made.changed["same"] == 0


def test_equivalence_is_that_of_compare(made):
    found = {name: compare.equivalence(one, 1.0) for name, one in made.differences["BLEU"].items()}
    assert made.equivalence == found
    p = {name: one.p_value for name, one in found.items() if name != report.COPY}
    assert made.equivalence_p_holm == {report.COPY: found[report.COPY].p_value, **compare.holm(p)}


def test_the_best_of_several_is_a_warning_where_there_are_three(made):
    rows = {name: metrics.bleu.statistics(hypotheses, REFERENCES) for name, hypotheses in SYSTEMS.items()}
    assert made.luck == compare.luck_of_choosing(rows, metrics.bleu.score, RESAMPLES)
    assert "best of these 6" in report.luck_words(made)
    two = build({name: SYSTEMS[name] for name in ("half", "all")})
    assert two.luck is None
    assert "THE BEST OF" not in report.to_text(two)


def test_another_metric_can_lead_and_another_system_be_the_baseline():
    found = build(metric="Edit f0.5", baseline="all")
    assert next(iter(found.scores)) == found.metric == "edit F0.5"
    assert found.verdicts["half"].kind == "worse"
    assert "edit F0.5" in found.verdicts["half"].text
    assert build(baseline=report.COPY).verdicts["few"].kind == "better"


# --- Words ----------------------------------------------------------------------------------------


def test_each_kind_of_verdict_is_reached_by_the_numbers(made):
    kinds = {name: one.kind for name, one in made.verdicts.items()}
    assert kinds == {
        report.COPY: "worse", "all": "better", "few": "worse", "other half": "unclear", "but one": "equivalent",
        "same": "equivalent",
    }  # fmt: skip
    one = made.differences["BLEU"]["all"]
    numbers = f"{one.estimate:+.2f} BLEU, 95 % interval {one.interval.low:+.2f} to {one.interval.high:+.2f}"
    assert made.verdicts["all"].text.startswith(f"all is better than half: {numbers}, p = ")
    assert made.verdicts["other half"].text.startswith("other half and half cannot be told apart by these 200")
    visible = made.visible["BLEU"]["other half"]
    assert made.verdicts["other half"].text.endswith(
        f"; a difference of {visible:.2f} BLEU would have been seen with 80 % power."
    )
    assert made.verdicts["but one"].text.startswith("but one is equivalent to half within 1 BLEU: -")
    assert made.verdicts["same"].text == "same is equivalent to half: BLEU sees no difference in any sentence."


def test_a_difference_that_is_there_and_does_not_matter_is_called_both():
    found = build({name: SYSTEMS[name] for name in ("half", "all")}, margin=50.0).verdicts["all"]
    assert found.kind == "better"
    assert "better than half, though by less than the margin of 50:" in found.text


def test_a_small_p_alone_makes_nothing_better_where_it_is_one_of_many():
    slightly = fixing(HALF | set(WRONG[1:15:2]))
    alone = build({"half": SYSTEMS["half"], "more": slightly}, margin=0.01)
    assert alone.verdicts["more"].kind == "better"
    crowd = {f"other {i}": fixing(set(WRONG[i % 2 :: 2]) - {WRONG[i]}) for i in range(9)}
    p = alone.differences["BLEU"]["more"].p_value
    many = build({"half": SYSTEMS["half"], "more": slightly, **crowd}, margin=0.01)
    assert many.differences["BLEU"]["more"].p_value == p
    assert many.p_holm["BLEU"]["more"] > 0.05 >= p
    assert many.verdicts["more"].kind == "unclear"


def test_metrics_that_disagree_about_a_sign_are_named():
    loud = [f"{text} Oh yes, it is so, indeed." for text in SYSTEMS["all"]]  # corrects everything, and talks on
    found = build({"loud": loud, "few": SYSTEMS["few"]}, baseline=report.COPY)
    signs = {name: one["loud"].estimate > 0 for name, one in found.differences.items()}
    assert (signs["BLEU"], signs["edit F0.5"]) == (False, True)
    words = found.disagreements["loud"]
    above, below = words.split(", but below it by ")
    assert {name for name in signs if name in above} == {name for name, up in signs.items() if up}
    assert {name for name in signs if name in below.split(";")[0]} == {name for name, up in signs.items() if not up}
    assert f"edit F0.5 {found.differences['edit F0.5']['loud'].estimate:+.2f}" in above
    assert words.endswith("exclude 0.")
    assert set(found.disagreements) == {"loud"}
    assert words in report.to_text(found)


def test_examples_are_the_sentences_that_pull_most_and_both_differ_on(made):
    shown = made.examples["other half"]
    assert [one.pull > 0 for one in shown] == [True] * 3 + [False] * 3
    for one in shown:
        i = one.number - 1
        assert (one.source, one.references, one.system) == (SOURCES[i], (REFERENCES[i],), SYSTEMS["other half"][i])
        assert one.baseline == SYSTEMS["half"][i] != one.system
    assert made.examples["same"] == ()
    assert [one.number - 1 for one in made.examples["but one"]] == [WRONG[0]]


# --- Forms ----------------------------------------------------------------------------------------


def test_json_holds_every_field_and_no_nan(made):
    read = json.loads(json.dumps(report.to_dict(made), allow_nan=False))
    assert list(read) == [field.name for field in fields(report.Report)]
    assert read["differences"]["GLEU"]["few"] == asdict(made.differences["GLEU"]["few"]) | {
        "per_seed": list(made.differences["GLEU"]["few"].per_seed)
    }
    assert read["rates"]["half"]["truncated"] is None
    assert read["rates"]["all"]["truncated"] == 1 / N
    assert read["verdicts"]["all"] == {"kind": "better", "text": made.verdicts["all"].text}


def test_text_tells_everything_and_ends_with_the_verdicts(made):
    shown = report.to_text(made)
    for name in metrics.METRICS:
        score = made.scores[name.name]["few"]
        assert f"{score.estimate:.1f} ({score.low:.1f} to {score.high:.1f})" in shown
        one = made.differences[name.name]["few"]
        assert f"{one.estimate:+.2f} ({one.interval.low:+.2f} to {one.interval.high:+.2f})" in shown
        assert f"{name.name}: {made.signatures[name.name]}" in shown
    assert shown.splitlines()[-6:] == [one.text for one in made.verdicts.values()]
    assert shown.index("SMALLEST VISIBLE") < shown.index("\nBLEU\n") < shown.index("VERDICT")


def test_a_rate_that_nobody_knows_is_not_a_column(made):
    assert "cut off" in report.behaviour_table(made)
    assert "cut off" not in report.behaviour_table(build())


BAD = '<script>document.title = "broken"</script><img src="http://127.0.0.1/x.png"> & $x_1$'


@pytest.fixture(scope="module")
def hostile() -> report.Report:
    """A report with everything that could break a page in its names and sentences."""

    def spoilt(texts: list[str]) -> list[str]:
        return [f"{BAD} {text} {'long' * 100}" if i in WRONG[:8] else text for i, text in enumerate(texts)]

    alike = {f"a_very_long_name_{i}_of_a_system": spoilt(SYSTEMS["few"]) for i in range(2)}
    systems = {f"half {BAD}": spoilt(SYSTEMS["half"]), BAD: spoilt(SYSTEMS["other half"]), "$x_1$": SYSTEMS["all"]}
    return report.build(systems | alike, spoilt(SOURCES), spoilt(REFERENCES), resamples=RESAMPLES)


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


# --- Files ----------------------------------------------------------------------------------------


def rows_of(name: str) -> list[dict[str, str]]:
    return [
        {"id": str(i), "source": source, "reference": reference, "hypothesis": hypothesis}
        for i, (source, reference, hypothesis) in enumerate(zip(SOURCES, REFERENCES, SYSTEMS[name], strict=True))
    ]


def lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def test_every_format_is_read_and_they_can_be_mixed(tmp_path):
    sources, references = lines(tmp_path / "s.txt", SOURCES), lines(tmp_path / "r.txt", REFERENCES)
    files = [
        factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half")),
        factories.write_csv(tmp_path / "all.csv", rows_of("all")),
        lines(tmp_path / "few.txt", SYSTEMS["few"]),
    ]
    read = report.read(report.named(files), sources, [references])
    assert read.systems == {name: SYSTEMS[name] for name in ("half", "all", "few")}
    assert (read.sources, read.references) == (SOURCES, [(text,) for text in REFERENCES])
    assert report.read(report.named(files[:2]), None, []).sources == SOURCES  # they stand in the files


def test_the_flags_of_the_decoder_are_read_where_the_file_has_them(tmp_path):
    rows = [{**row, "truncated": i == 3} for i, row in enumerate(rows_of("all"))]
    files = [
        factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half")),
        factories.write_jsonl(tmp_path / "all.jsonl", rows),
    ]
    assert report.read(report.named(files), None, []).truncated == {"all": [i == 3 for i in range(N)]}


def test_systems_are_named_by_as_little_of_the_path_as_tells_them_apart():
    def names(*paths):
        return list(report.named([Path(path) for path in paths]))

    assert names("a/x.txt", "b/y.txt") == ["x", "y"]
    assert names("a/x.txt", "b/x.txt") == ["a/x", "b/x"]
    assert names("a/x.txt", "a/x.csv") == ["a/x.txt", "a/x.csv"]
    assert names("/0/a/x.txt", "/1/a/x.txt") == ["/0/a/x.txt", "/1/a/x.txt"]


def test_a_baseline_is_found_by_name_file_name_or_path():
    files = report.named([Path("a/x.txt"), Path("b/y.txt")])
    assert [report.find(name, files) for name in ("y", "y.txt", "b/y.txt", report.COPY)] == ["y", "y", "y", report.COPY]
    with pytest.raises(ValueError, match="--baseline 'z' is none of the systems: x, y, copy the input"):
        report.find("z", files)


def test_files_of_other_sentences_or_another_order_are_refused(tmp_path):
    rows = rows_of("all")
    half = factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half"))
    swapped = factories.write_jsonl(tmp_path / "all.jsonl", [rows[1], rows[0], *rows[2:]])
    sources, references = lines(tmp_path / "s.txt", SOURCES), lines(tmp_path / "r.txt", REFERENCES)
    with pytest.raises(ValueError, match=r"row 1 has the id '0' in .*half.jsonl, but '1' in .*all.jsonl"):
        report.read(report.named([half, swapped]), sources, [references])
    anonymous = [{key: row[key] for key in ("source", "reference", "hypothesis")} for row in (rows[1], rows[0])]
    factories.write_jsonl(swapped, [*anonymous, *rows[2:]])
    with pytest.raises(ValueError, match="row 1 has the source"):
        report.read(report.named([half, swapped]), None, [])


@pytest.mark.parametrize("name", ["all.CSV", "all.tsv", "all.jsonl.gz", "all.parquet"])
def test_a_file_of_another_kind_gives_the_same_inputs(tmp_path, name):
    rows = [row | {"id": float(row["id"]), "truncated": row["id"] == "3"} for row in rows_of("all")]
    half = factories.write_jsonl(tmp_path / "half.jsonl", rows_of("half"))
    expected = report.read(report.named([half, factories.write_jsonl(tmp_path / "all.jsonl", rows)]), None, [])
    frame, path = pd.DataFrame(rows), tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    elif name.endswith("gz"):
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="\t" if name.endswith("tsv") else ";", index=False)
    assert report.read(report.named([half, path]), None, []) == expected
    assert sum(expected.truncated["all"]) == 1


def test_files_that_differ_in_blanks_and_forms_of_letters_are_of_the_same_sentences(tmp_path):
    rows = [row | {"source": f"caf\u00e9 {row['source']}"} for row in rows_of("half")]
    other = [row | {"source": f"cafe\u0301 {row['source'][5:]} ", "id": f"{row['id']}.0"} for row in rows]
    files = [factories.write_jsonl(tmp_path / "a.jsonl", rows), factories.write_csv(tmp_path / "b.csv", other)]
    read = report.read(report.named(files), None, [])
    assert read.sources == [row["source"] for row in rows]
    assert [note.split(", ")[1].split(":")[0] for note in read.notes] == ["source", "source"]


def test_what_is_said_of_the_texts_stands_in_the_text_the_page_and_the_data_of_a_report():
    made = build(notes=["b.csv <i>: blanks around 3 of 200 sentences were taken off."])
    assert "ABOUT THE TEXTS\nb.csv <i>: blanks around 3" in report.to_text(made)
    assert report.to_dict(made)["notes"] == list(made.notes)
    page = BeautifulSoup(html.page(made), "html.parser")
    assert made.notes[0] in page.get_text()
    assert "ABOUT THE TEXTS" not in report.to_text(build())


def test_a_tokenised_system_is_called_by_its_name(tmp_path):
    plain = [row | {"hypothesis": "She doesn't go.", "source": "a.", "reference": "b."} for row in rows_of("half")]
    tokens = [row | {"hypothesis": "She does n't go ."} for row in plain]
    files = [
        factories.write_jsonl(tmp_path / "plain.jsonl", plain),
        factories.write_jsonl(tmp_path / "odd.jsonl", tokens),
    ]
    (note,) = report.read(report.named(files), None, []).notes
    assert note.startswith("odd: hypotheses look tokenised")


def test_characters_that_cannot_be_seen_are_visible_in_the_examples():
    sources = [f"a\u202eb {text}" for text in SOURCES]
    made = report.build({"x": REFERENCES, "y": SOURCES}, sources, REFERENCES, resamples=RESAMPLES)
    page = html.page(made)
    assert "\u202e" not in page
    assert "a⟨U+202E⟩b" in page


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"systems": {}}, "there is no system"),
        ({"systems": {report.COPY: SOURCES}}, "'copy the input' is the name of doing nothing"),
        ({"systems": {"a": SOURCES, "b": SOURCES[1:]}}, "b: hypotheses has 199|b: references has 200"),
        ({"systems": {"a": [None] * N}}, r"a: hypotheses\[0\] is None"),
        ({"baseline": "c"}, "the baseline 'c' is none of the systems: copy the input, half"),
        ({"truncated": {"c": [True] * N}}, "truncated is given for 'c'"),
        ({"truncated": {"all": [True]}}, "truncated has 1 entries"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"metric": "blue"}, "unknown metric 'blue'. Metrics: BLEU, GLEU, edit F0.5, chrF2"),
        ({"resamples": 50}, "resamples is 50; expected at least 119 for 6 comparisons"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(changes, words):
    with pytest.raises(ValueError, match=words):
        build(**changes)


def test_one_sentence_is_too_few():
    with pytest.raises(ValueError, match="there is one sentence; expected two or more"):
        report.build({"a": ["x"]}, ["x"], ["x"])


NAMES = [
    "a\nb.txt",
    "\x1b[31mr.txt",
    "x\u202ey.txt",
    "<b>x.txt",
    "[red]x.txt",
    "a\u200bb.txt",
    os.fsdecode(b"caf\xe9.txt"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_seen_in_the_name_of_a_file_is_made_visible_wherever_it_is_shown(tmp_path, name):
    rows = {name: ["She goes.", "It is."], "s.txt": ["She go.", "It are."], "r.txt": ["She goes.", "It is."]}
    for one, lines in rows.items():
        (tmp_path / one).write_text("".join(f"{line} \n" for line in lines))
    files = report.named([tmp_path / name, tmp_path / "s.txt"])
    assert report.find(name, files) == next(iter(files))
    read = report.read(files, tmp_path / "s.txt", [tmp_path / "r.txt"])
    made = report.build(read.systems, read.sources, read.references, resamples=100, notes=read.notes)
    shown = [report.to_text(made), html.page(made), json.dumps(report.to_dict(made), ensure_ascii=False)]
    for text in shown:
        assert text.encode()
        assert not {"\x1b", "\u202e", "\u200b"} & set(text)
    assert "<b>x" not in shown[1]
