import gzip
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import factories
import pandas as pd
import pytest
from commandline import call
from typer.testing import CliRunner

from gecalign import cli, config
from gecalign.config import PROFILES
from gecalign.study import stages, trials

SENTENCES = [  # source, reference, hypothesis
    ("She go to the school .", "She goes to the school .", "She goes to the school ."),
    ("He sits in the garden .", "He sits in the garden .", "He sit in the garden ."),
    ("It is a very cold day .", "It is a very cold day .", "It is a very cold day ."),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> list[str]:
    """Return the options of a run that needs neither hub nor shipped base."""
    folder = tmp_path_factory.mktemp("cli")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    base = factories.base_folder(folder / "base")
    usual, small = asdict(PROFILES["smoke"]), asdict(factories.preference_profile(base, corpus))
    changed = {
        f"{part}.{name}": json.dumps(value)
        for part, fields in small.items() if isinstance(fields, dict)
        for name, value in fields.items() if value != usual[part][name]
    }  # fmt: skip
    return ["--profile", "smoke", *(f"--set={address}={value}" for address, value in changed.items())]


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli-runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GECALIGN_RUNS", str(folder))
        yield folder


def test_profiles_are_listed_and_shown_in_full():
    listed = call("profiles")
    assert [line.split()[0] for line in listed.splitlines()] == list(PROFILES)
    shown = json.loads(call("profiles", "tiny"))
    assert shown["sft"]["steps"] == PROFILES["tiny"].sft.steps


def test_run_data_says_where_the_corpus_is_and_how_large(settings, runs):
    shown = json.loads(call("run", "data", *settings))
    assert Path(shown["folder"]).parent == runs / "smoke"
    assert shown["rows"] == {"train": 24, "preference": 16, "dev": 8, "test": 12, "validation": 0}


def test_run_sft_trains_once(settings, runs, capfd):
    first = json.loads(call("run", "sft", *settings))  # so nothing else may be on standard output
    assert (Path(first["folder"]) / "model" / "model.safetensors").exists()
    assert first["rows"] == 24
    capfd.readouterr()
    assert json.loads(call("run", "sft", *settings)) == first
    assert "making" not in capfd.readouterr().err


def test_run_all_prints_every_system_beside_doing_nothing(settings):
    table = call("run", *settings)
    assert table.startswith("test:\n12 sentences")
    assert table.splitlines()[2].split() == ["copy", "base", "sft", "sft-continued", "dpo", "grpo"]
    assert "BLEU" in table


def test_run_all_shows_what_another_prompt_does_where_the_profile_asks_for_it(settings, monkeypatch):
    other = replace(config.profile("smoke"), mismatched_prompt=config.Prompt("Fix it: {source}"))
    monkeypatch.setitem(config.PROFILES, "smoke", other)
    shown = call("run", *settings)
    assert "test, asked with 'Fix it: {source}' instead of the prompt of training:\n12 sentences" in shown
    tables = shown.split("12 sentences")[1:]
    assert [table.splitlines()[1].split()[0] for table in tables] == ["copy", "sft"]  # only what was trained
    bleu = [next(line for line in table.splitlines() if line.startswith("BLEU")) for table in tables]
    assert bleu[0].split()[3] != bleu[1].split()[1]  # of SFT


def test_run_without_a_single_pair_does_not_end_well(message, monkeypatch):
    from gecalign.study import Study

    stage = SimpleNamespace(folder="f", facts={"pairs": 0, "held_out": 0, "funnel": {}})
    monkeypatch.setattr(Study, "product", lambda self, name: stage)
    assert "there is no preference pair, see `funnel`" in message("run", "pairs", "--profile", "smoke", "--skip-checks")


def test_run_pairs_tells_the_funnel(settings):
    shown = json.loads(call("run", "pairs", *settings))
    assert (Path(shown["folder"]) / "pairs.jsonl").exists()
    funnel = shown["funnel"]
    assert funnel["prompts"] == 16 == funnel["pairs"] + sum(funnel["dropped"].values())


def test_the_doctor_prints_a_line_a_check(settings):
    lines = call("doctor", *settings).splitlines()
    assert {line.split()[0] for line in lines} <= {"PASS", "WARN"}
    assert any("reward signal" in line for line in lines)


def test_a_trial_goes_into_the_log_and_is_printed(settings, tmp_path):
    log = tmp_path / "trials.csv"
    shown = call("trial", "--systems", "dpo", "--log", log, "--note", "a question", *settings)
    assert shown.startswith("dpo ")
    assert "over SFT continued" in shown
    assert len(log.read_text().splitlines()) == 2
    assert "a question" in log.read_text()


def test_a_quick_trial_has_the_greedy_score_by_the_yardstick_and_no_gain(settings, runs, tmp_path, monkeypatch):
    log, asked = tmp_path / "trials.csv", ("--set", "yardstick.metric=gleu", *settings)
    with monkeypatch.context() as patch:
        patch.setitem(stages.TRAINED, "sft-continued", lambda _: 1 / 0)
        shown = call("trial", "--systems", "sft", "--log", log, "--greedy-only", *asked)
    [row] = trials.read_rows(log)
    assert shown == f"sft            greedy {float(row['greedy']):.1f} GLEU\n"
    assert row["metric"] == "gleu"
    assert (row["gain"], row["sampled"], row["sampled_gain_low"]) == ("", "", "")
    assert row["greedy"] == row["sft_greedy"]
    logs = [pd.read_csv(path) for path in runs.glob("smoke/seed-0/sft-*/log.csv")]
    [log] = [log.set_index("step") for log in logs if "eval_gleu" in log]
    assert log["eval_gleu"][int(row["chosen_step"])] == pytest.approx(float(row["greedy"]), abs=1e-3)


def test_the_map_needs_an_annotator_who_can_leave_errors(message, settings):
    assert "only TinyGEC can make" in message(
        "map", *(s for s in settings if not s.startswith("--set")), "-p", "smollm-135m"
    )


def test_a_study_of_several_seeds_leaves_its_results_where_it_is_told(settings, small_study, tmp_path, monkeypatch):
    from gecalign.study import multiseed, results

    asked = {}

    def made(profile, seeds, jobs, expected):
        asked.update(profile=profile, seeds=seeds, jobs=jobs)
        return small_study.folder

    monkeypatch.setattr(multiseed, "study", made)
    said = call("study", "--seeds", 2, "--jobs", 1, "--output", tmp_path / "found", *settings)
    assert (asked["seeds"], asked["jobs"]) == (2, 1)
    assert asked["profile"].sft == small_study.profile.sft
    assert said.startswith(f"results of 2 seeds: {tmp_path / 'found'}")
    assert results.load(tmp_path / "found", small_study.profile).seeds == [0, 1]


def test_a_sentence_is_corrected_and_marked(settings):
    plain = call("correct", "she go home 1.", "--plain", *settings)
    marked = call("correct", "she go home 1.", *settings)
    assert len(plain.splitlines()) == 1
    assert "[-" in marked
    assert "\x1b" not in marked  # not a terminal


def test_lines_from_stdin_are_corrected_one_by_one_in_order(settings):
    lines = ["she go home 1.", "Tom eat an apple 22.", "the dog see music 3."]
    alone = [call("correct", line, "--plain", *settings).strip() for line in lines]
    together = call("correct", "-", "--plain", *settings, input="\n".join([lines[0], "", *lines[1:]]))
    assert [line.strip() for line in together.splitlines()] == [alone[0], "", *alone[1:]]


def test_another_system_can_be_asked(settings):
    sentence = "she go home 1."
    assert call("correct", sentence, "--plain", "--system", "base", *settings) != call(
        "correct", sentence, "--plain", *settings
    )


def plain_files(folder: Path) -> list[Path]:
    paths = [folder / name for name in ("source.txt", "reference.txt", "hypothesis.txt")]
    for path, column in zip(paths, zip(*SENTENCES, strict=True), strict=True):
        path.write_text("".join(f"{line}\n" for line in column))
    return paths


def test_score_prints_the_system_beside_doing_nothing_with_signatures(tmp_path):
    source, reference, hypothesis = plain_files(tmp_path)
    shown = call("score", hypothesis, "--sources", source, "--references", reference)
    assert shown.startswith("3 sentences; scores 0-100, rates 0-1")
    assert "copy the input" in shown
    assert "hypothesis.txt" in shown
    assert "tok:13a" in shown
    assert "nan" not in shown  # what is not defined, such as truncation in a file that does not tell, is blank


def test_score_as_json_holds_the_same_numbers(tmp_path):
    from gecalign import metrics

    source, reference, hypothesis = plain_files(tmp_path)
    shown = json.loads(call("score", hypothesis, "--sources", source, "--references", reference, "--json"))
    sources, references, hypotheses = (list(column) for column in zip(*SENTENCES, strict=True))
    assert shown["n"] == 3
    assert shown["system"] == metrics.evaluate(hypotheses, references, sources).row()
    assert shown["copy"] == metrics.evaluate(sources, references, sources).row()


def test_score_takes_several_references(tmp_path):
    source, reference, hypothesis = plain_files(tmp_path)
    both = call(
        "score",
        hypothesis,
        "--sources",
        source,
        "--references",
        reference,
        "--references",
        hypothesis,
        "--json",
    )
    assert json.loads(both)["system"]["BLEU"] == pytest.approx(100)


def test_score_says_which_sentence_is_wrong(tmp_path, message):
    source, reference, hypothesis = plain_files(tmp_path)
    hypothesis.write_text("one line\n")
    shown = message("score", hypothesis, "--sources", source, "--references", reference)
    assert shown.startswith(f"gecalign: {hypothesis} has 1 sentences and {source} has 3")
    assert len(shown.splitlines()) == 1


def rows_of_sentences() -> list[dict[str, str]]:
    names = ("source", "reference", "hypothesis")
    return [{"id": str(i), **{name: text.replace(" .", ".") for name, text in zip(names, texts, strict=True)}}
            for i, texts in enumerate(SENTENCES)]  # fmt: skip


def test_a_file_is_scored_alike_whatever_its_kind(tmp_path):
    rows = rows_of_sentences()
    expected = json.loads(call("score", factories.write_jsonl(tmp_path / "h.jsonl", rows), "--json"))
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress((tmp_path / "h.jsonl").read_bytes()))
    table = factories.write_csv(tmp_path / "h.CSV", rows).read_text(encoding="utf-8")
    (tmp_path / "h.tsv").write_text(table.replace(",", "\t"), encoding="utf-16")
    for name in ("h.jsonl.gz", "h.CSV", "h.tsv"):
        assert json.loads(call("score", tmp_path / name, "--json")) == expected
    for content in ((tmp_path / "h.jsonl").read_text(encoding="utf-8"), table):
        assert json.loads(call("score", "-", "--json", input=content)) == expected


def test_a_process_substitution_is_a_file(tmp_path):
    source, reference, hypothesis = plain_files(tmp_path)
    given = f"<(cat {hypothesis}) --sources <(cat {source}) --references {reference}"
    command = f"{sys.executable} -m gecalign score {given} --json"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == json.loads(
        call("score", hypothesis, "--sources", source, "--references", reference, "--json")
    )


def test_a_table_that_is_called_a_text_is_not_scored(tmp_path, message):
    source, reference, _ = plain_files(tmp_path)
    table = factories.write_csv(tmp_path / "h.csv", rows_of_sentences()).rename(tmp_path / "h.txt")
    shown = message("score", table, "--sources", source, "--references", reference)
    assert shown.startswith(f"gecalign: {table} looks like a table")


def test_what_was_changed_in_the_texts_is_said_beside_the_scores(tmp_path):
    path = factories.write_jsonl(
        tmp_path / "h.jsonl", [row | {"hypothesis": f"{row['hypothesis']} "} for row in rows_of_sentences()]
    )
    plain = factories.write_jsonl(tmp_path / "p.jsonl", rows_of_sentences())
    shown, expected = (json.loads(console("score", str(one), "--json").stdout) for one in (path, plain))
    (note,) = shown.pop("notes")
    assert note == f"{path}, hypothesis: blanks around 3 of 3 sentences were taken off (the first: row 1)."
    assert expected.pop("notes") == []
    assert shown == expected
    assert console("score", str(path)).stderr.strip() == f"gecalign: {note}"


def test_a_text_that_is_too_long_is_refused_with_what_to_do(message, settings):
    assert "Shorten the text (one sentence a line)" in message("correct", "she go " * 300, *settings)


def test_an_unknown_command_is_a_usage_error(message):
    assert "No such command" in message("runn", code=2)


def console(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gecalign", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_the_debug_variable_shows_where_an_error_comes_from():
    quiet, loud = console("profiles", "tinny"), console("profiles", "tinny", GECALIGN_DEBUG="1")
    assert (quiet.returncode, loud.returncode) == (1, 1)
    assert "Traceback" not in quiet.stderr
    assert len(quiet.stderr.splitlines()) == 1
    assert "Traceback" in loud.stderr


def test_help_does_not_wait_for_heavy_imports():
    code = (
        "import sys; from gecalign import cli; sys.argv = ['gecalign', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "correct" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "False"


@pytest.fixture
def outputs(tmp_path) -> dict[str, Path]:
    """Write sources, references and what three systems made of them, a sentence a line."""
    texts = {"sources": [], "references": [], "base": [], "good": [], "bad": []}
    for i, (source, reference) in enumerate(factories.pairs(60)):
        texts["sources"].append(source)
        texts["references"].append(reference)
        texts["base"].append(reference if i % 2 else source)
        texts["good"].append(reference)
        texts["bad"].append(f"{source} {source}")
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return {name: tmp_path / f"{name}.txt" for name in texts}


def compare(outputs: dict[str, Path], *names: str) -> list[object]:
    files = [outputs[name] for name in names]
    return ["compare", *files, "--sources", outputs["sources"], "--references", outputs["references"],
            "--resamples", 500]  # fmt: skip


def test_compare_ends_with_a_verdict_a_system(outputs):
    shown = call(*compare(outputs, "base", "good", "bad")).splitlines()
    assert shown[0] == "60 sentences; baseline: base; leading metric: BLEU"
    starts = ("good is better than base: +", "bad is worse than base: -")
    assert all(line.startswith(start) for line, start in zip(shown[-2:], starts, strict=True))


def test_compare_as_json_holds_the_numbers_of_the_report(outputs):
    from gecalign import report

    read = {name: path.read_text().splitlines() for name, path in outputs.items()}
    inputs = report.Inputs({name: read[name] for name in ("base", "good")}, read["sources"], read["references"])
    made = report.build(inputs, report.Settings("good", "GLEU", margin=2, resamples=500, seed=3))
    options = ["--baseline", "good.txt", "--margin", 2, "--metric", "gleu", "--seed", 3, "--json"]
    assert json.loads(call(*compare(outputs, "base", "good"), *options)) == report.to_dict(made)


def test_compare_writes_a_page_beside_the_text(outputs, tmp_path):
    shown = call(*compare(outputs, "base", "good"), "--html", tmp_path / "report.html")
    verdict = shown.splitlines()[-1]
    assert verdict.startswith("good is better than base")
    assert "good is better than base" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (["base"], [], "compare takes two or more files, and 1 came. For one: gecalign score FILE."),
        (["base", "good", "base"], [], "{base} is given twice"),
        (["base", "short"], [], "{base} has 60 sentences and {short} has 59"),
        (["base", "absent"], [], "there is no file {absent}"),
        (["base", "good"], ["--baseline", "god"], "--baseline 'god' is none of the systems: base, good"),
        (["base", "good"], ["--metric", "blue"], "unknown metric 'blue'. Metrics: BLEU"),
        (["base", "good"], ["--margin", "-1"], "--margin is -1.0"),
        (["base", "good"], ["--margin", "nan"], "--margin is nan"),
        (["base", "good"], ["--resamples", "3"], "--resamples is 3; expected at least 39"),
        (["base", "good"], ["--html", "report.txt"], "--html writes a page: expected name.html"),
        (["base", "good"], ["--html", "absent/report.html"], "--html writes a page: expected name.html"),
    ],
)
def test_a_mistake_in_what_is_compared_is_answered_in_one_line(message, outputs, tmp_path, names, options, words):
    outputs |= {"short": tmp_path / "short.txt", "absent": tmp_path / "absent.txt"}
    outputs["short"].write_text("".join(outputs["good"].read_text().splitlines(keepends=True)[1:]))
    shown = message(*compare(outputs, *names), *options)
    assert shown.startswith(f"gecalign: {words.format(**outputs)}")
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("which", ["base", "sources", "references"])
def test_a_page_is_not_written_over_a_file_that_is_read(message, outputs, tmp_path, which):
    outputs[which] = outputs[which].rename(tmp_path / "texts.html")
    before = outputs[which].read_text()
    (tmp_path / "x").mkdir()
    shown = message(*compare(outputs, "base", "good"), "--html", tmp_path / "x" / ".." / "texts.html")
    assert "texts.html, which is read. Give it another name." in shown
    assert outputs[which].read_text() == before


def test_a_file_that_is_called_as_doing_nothing_is_scored_beside_it(outputs, tmp_path):
    named = outputs["good"].rename(tmp_path / "copy the input")
    shown = call("score", named, "--sources", outputs["sources"], "--references", outputs["references"]).splitlines()
    assert shown[1].strip() == "copy the input ./copy the input"
    assert shown[2].split()[-1] == "100.00"


def test_compare_without_sources_says_how_to_give_them(message, outputs):
    shown = message("compare", outputs["base"], outputs["good"], "--references", outputs["references"])
    assert shown.splitlines() == [
        f"gecalign: row 1 of {outputs['base']} has no 'source'; its columns: hypothesis. "
        "Give the file that has it: --sources FILE."
    ]


def test_what_is_wrong_with_a_model_is_said_by_whatever_hands_it_on(settings, tmp_path, monkeypatch):
    """Also with one that an older version made, and with what it was trained from."""
    from gecalign.training import health

    spoilt: dict[str, str] = {}
    monkeypatch.setattr(health, "warning_of", lambda stage, start=None: spoilt.get(stage.record["stage"], ""))
    system, words = "dpo", "far below. Lower sft__learning_rate"
    call("run", system, *settings)
    commands = {
        "correct": ["correct", "she go home 1.", "--plain", "--system", system, *settings],
        "run": ["run", system, *settings],
        "export": ["export", tmp_path / "out", "--force", "--system", system, *settings],
        "exported": ["correct", "she go home 1.", "--plain", "--model", tmp_path / "out"],
    }
    for spoilt_one in ("", "sft", "dpo"):
        spoilt = {spoilt_one: words}
        for name, arguments in commands.items():
            result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
            assert result.exit_code == 0, (name, result.output)
            assert ("far below. Lower sft.learning_rate" in result.stderr) == bool(spoilt_one), (name, spoilt_one)
            assert "sft__" not in result.stderr
        card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert ("**warning**" in card) == bool(spoilt_one)
