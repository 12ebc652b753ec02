"""What the command line says of mistakes: what was typed, and a way out. Nothing here loads a model."""

import json
from pathlib import Path

import factories
import pytest

from gecalign import export, prompts, settings
from gecalign.checks import doctor
from gecalign.checks.patient import Check
from gecalign.config import PROFILES, Prompt
from gecalign.report import html
from gecalign.runtime import hub
from gecalign.study import designs, sweep, trials


@pytest.fixture(autouse=True)
def _runs(monkeypatch, tmp_path):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def message(message):
    """Return the same function, which sees to it that what is said is one line."""

    def of(*arguments: object) -> str:
        said = "".join(line for line in message(*arguments).splitlines(True) if not line.startswith("[data] making"))
        assert len(said.splitlines()) == 1, said
        return said

    return of


OTHER = "a,b\n1,2\n"
MISTAKES = [
    # seeds and numbers
    (["run", "data", "--seed", "-1"], "the seed must be at least 0 and at most 4,294,967,295, but is -1"),
    (
        ["run", "data", "--seed", "4294967296"],
        "the seed must be at least 0 and at most 4,294,967,295, but is 4294967296",
    ),
    (["plan", "--seeds", "0"], "--seeds is 0; expected at least 1"),
    (["plan", "--seeds", "10001"], "--seeds is 10001; expected at least 1 and at most 10,000"),
    (["sweep", "--seeds", "100000000"], "--seeds is 100000000; expected at least 1 and at most 10,000"),
    (["study", "--seeds", "100000000"], "--seeds is 100000000; expected at least 2 and at most 10,000"),
    (["sweep", "--seeds", "0"], "--seeds is 0; expected at least 1"),
    (["study", "--seeds", "1"], "--seeds is 1; expected at least 2"),
    (["study", "--jobs", "0"], "--jobs is 0; expected at least 1"),
    (["plan", "--gpu", "0"], "--gpu is 0; expected the GPU's memory in GB"),
    (["plan", "--gpu", "nan"], "--gpu is nan; expected"),
    # places, before anything takes long
    (["study", "--output", "{file}"], "--output: {file} is a file. Give a folder."),
    (["study", "--output", "{file}/x"], "--output: {file} is a file"),
    (["elsewhere", "--output", "{file}"], "--output: {file} is a file. Give a folder."),
    (["trial", "--log", "{file}/log.csv"], "--log: {file} is a file"),
    (["trial", "--log", "{folder}"], "--log: {folder} is a folder. Give the name of a file"),
    (["sweep", "--log", "{folder}"], "--log: {folder} is a folder"),
    (["trial", "--log", "{file}"], "{file} is no experiment log of this version: it has a; expected"),
    (["sweep", "--log", "{file}"], "{file} is no table of checkpoints: it has the columns a, b; expected"),
    # names of profiles and products
    (["run", "data", "--profile", "", "--seed", "0"], "unknown profile ''"),
    (["run", "data", "--profile", "tinny"], "unknown profile 'tinny'. Did you mean 'tiny'?"),
    (["profiles", "tinny"], "unknown profile 'tinny'"),
    (
        ["run", "stf", "-p", "smoke"],
        "unknown product 'stf'. Products: data, samples, pairs, sft, sft-continued, sft-fresh",
    ),
    # names of systems, before the first of them is trained
    (["trial", "--systems", "sft,dop"], "'dop' is no trained system. Trained systems: sft"),
    (["trial", "--systems", "base"], "'base' is no trained system"),
    (["correct", "x", "--system", "copy"], "'copy' is not trained, so it has neither a log nor a model"),
    # settings as they were typed
    (["run", "data", "--set", "decoding.samples=many"], "decoding.samples must be of type int"),
    (["run", "data", "--set", "data.source=some/where"], "'some/where' is neither"),
    (["run", "data", "--set", "data.source=absent.jsonl"], "there is no file absent.jsonl"),
    (["run", "data", "--set", "x.y=1"], "a profile has no part 'x'"),
    (["run", "data", "--set", "sft.stepz=3"], "'sft' has no field 'stepz'"),
    (["run", "data", "--set", "sft.steps"], "--set takes part.field=value"),
    (
        ["run", "data", "--set", "prompt.template=\udce9 {{source}}:"],
        "prompt.template must be a text in UTF-8 that is not",
    ),
    (
        ["run", "data", "--set", "data.source=/x/\udce9"],
        "data.source must be a text in UTF-8 that is not blank, but is '/x/\\u",
    ),
    (["run", "data", "--set", "prompt.template=a\0{{source}}:"], "prompt.template must be a text in UTF-8"),
    (
        ["run", "data", "--set", "prompt.template={{{{source}}}}:"],
        "the prompt template '{{{{source}}}}:' has {{source}} in",
    ),
    (
        ["run", "data", "--profile", "as-published", "--set", "mismatched_prompt.template=x"],
        "the prompt template must contain {{source}} exactly once, but is 'x'",
    ),
    # what a command varies itself, and all of its values before the first takes hours
    (["map", "--set", "data.miss=0.3"], "--set data.miss has no effect: `gecalign map` varies it itself."),
    (["map", "--set", "sft__steps=10"], "--set sft.steps has no effect"),
    (["sweep", "--set", "grpo.group_size=4"], "--set grpo.group_size has no effect: `gecalign sweep` varies it"),
    (["map", "--miss", "0.3", "--miss", "1.5"], "--miss must be at least 0 and at most 1, but is 1.5"),
    (["elsewhere", "--profile", "tinny", "--output", "{folder}"], "unknown profile 'tinny'. Did you mean 'tiny'?"),
    # files
    (["score", "absent.txt"], "there is no file absent.txt"),
    # options that rule each other out
    (["correct", "x", "--model", "{folder}", "--seed", "1"], "--seed does not go with --model, which brings its own."),
    (["correct", "x", "--model", "{file}"], "there is no folder {file}"),
    (["correct", "x", "--prompt", "Fix: {{source}}"], "--prompt is for a --model FOLDER"),
    (["export", "{folder}", "--system", "sft", "--private"], "--private is about the repository"),
    (["export", "{file}/x", "--system", "sft"], "the export: {file} is a file"),
    (
        ["correct", "x", "--set", "model.name=./absent", "--system", "base"],
        "there is no model folder ./absent (model.name)",
    ),
    (["correct", "x", "--set", "model.name=a/b/c", "--system", "base"], "there is no model folder a/b/c"),
    (["correct", "x", "--set", "model.name=user/name", "--system", "base"], "'user/name' is not a local folder"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), MISTAKES, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else ""
)
def test_a_mistake_is_said_in_one_line_with_what_was_typed(message, tmp_path, arguments, words):
    (tmp_path / "file").write_text(OTHER)
    (tmp_path / "folder").mkdir()
    places = {"file": tmp_path / "file", "folder": tmp_path / "folder"}
    said = message(*(argument.format(**places) for argument in arguments))
    assert said.removeprefix("gecalign: ").startswith(words.format(**places)), said
    assert "__" not in said


def test_every_setting_of_every_profile_is_named_as_one_types_it():
    for part, names in settings.PARTS.items():
        for name in names:
            assert settings.as_typed(f"({part}__{name} is 1)") == f"({part}.{name} is 1)"
    assert settings.as_typed("__init__ other__thing") == "__init__ other__thing"


def test_the_doctor_names_settings_as_one_types_them():
    assert doctor.line(Check("pairs", "warn", "set pairs__samples")) == "WARN  pairs: set pairs.samples"


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(message, tmp_path, monkeypatch):
    rows = factories.pairs(20)
    names = {"s": [a for a, _ in rows], "r": [b for _, b in rows], "x": [b for _, b in rows], "y": [a for a, _ in rows]}
    for name, texts in names.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts))
    page = tmp_path / "page.html"
    page.write_text("good")
    monkeypatch.setattr(html, "page", lambda made: "half \ud800")
    x, y, s, r = (tmp_path / f"{name}.txt" for name in "xysr")
    said = message("compare", x, y, "--sources", s, "--references", r, "--resamples", 100, "--html", page)
    assert "surrogates" in said
    assert page.read_text() == "good"
    said = message("compare", x, y, "--sources", s, "--references", r, "--resamples", 100, "--seed", -3)
    assert "the seed must be at least 0" in said


@pytest.mark.parametrize(
    "record",
    [
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "prompt": {}}',
        "not JSON",
        '{"format": 1, "prompt": {"template": "x {source}"}, "decoding": {"x": 1}}',
    ],
)
def test_a_damaged_record_of_an_export_is_named(message, tmp_path, record):
    (tmp_path / "gecalign.json").write_text(record)
    said = message("correct", "x", "--model", tmp_path)
    assert f"{tmp_path / 'gecalign.json'} cannot be read" in said
    assert "Export the model again." in said


def test_a_prompt_other_than_that_of_training_is_refused_with_what_to_leave_out(tmp_path):
    asked = {"template": "A {source}:", "digest": prompts.digest(Prompt("A {source}:"))}
    record = {"format": 1, "prompt": asked, "decoding": {"samples": 1}, "chain": [], "files": {}}
    (tmp_path / "gecalign.json").write_text(json.dumps(record))
    assert export.check(tmp_path, "A {source}:") == export.check(tmp_path)
    with pytest.raises(ValueError, match=r"--prompt is 'B {source}:'.*leave --prompt out"):
        export.check(tmp_path, "B {source}:")


@pytest.mark.parametrize("offline", [True, False])
def test_going_online_is_told_with_the_variable_only_where_it_is_set(monkeypatch, offline):
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", offline)
    assert ("HF_HUB_OFFLINE" in hub.ways_out("model")) == offline


@pytest.mark.parametrize("forced", [True, False])
def test_after_a_failed_push_force_is_asked_for_only_where_it_was_not_given(monkeypatch, tmp_path, message, forced):
    def failing(folder, repository, private, again):
        raise ValueError(f"give {again}.")

    monkeypatch.setattr(export, "export", lambda *_, **__: (tmp_path / "out").mkdir(exist_ok=True))
    monkeypatch.setattr(export, "push", failing)
    options = ["--force"] if forced else []
    said = message("export", tmp_path / "out", "--system", "sft", "--push-to", "user/name", *options)
    assert ("--force" in said) != forced


def test_rows_are_appended_whole_and_the_log_of_the_project_is_one(tmp_path):
    project = Path(__file__).parents[2] / "results"
    assert len(trials.read_rows(project / "trials.csv")) > 50
    header = (project / "group-sizes.csv").read_text().splitlines()[0]
    assert tuple(header.split(",")) == sweep.COLUMNS
    log = tmp_path / "log.csv"
    rows = [dict.fromkeys(trials.COLUMNS, "x, y") | {"profile": "tiny", "seed": seed} for seed in ("0", "1")]
    for count in (1, 2):
        trials._append(rows[count - 1], log)
        assert trials.read_rows(log) == rows[:count]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".log")} == {"log.csv"}


def test_a_group_size_that_a_profile_cannot_have_is_said_with_a_way_out_that_sweep_has(message):
    assert PROFILES["as-published"].grpo.batch_size == 4
    with pytest.raises(ValueError, match=r"Set grpo__batch_size .4. to a multiple of 16"):
        designs.variant(PROFILES["as-published"], "equal samples", 16)
    assert "grpo.batch_size must be of type int" in message("sweep", "--set", "grpo.batch_size=x")


@pytest.mark.parametrize("name", ["\x1b[31mx.txt", "x\u202ey.txt"])
@pytest.mark.parametrize("command", [["score"], ["correct", "--file"]])
def test_names_of_files_drive_no_terminal(message, command, name):
    shown = message(*command, name)
    assert shown.rstrip("\n").isprintable()
    assert "there is no file" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "--seeds", "2"], " seeds, and --seeds is 2, and would be replaced. Give another folder"),
        (["study", "--seeds", "6", "--set", "sft.steps=7"], "holds results of other settings, and would be replaced"),
        (["study", "--seeds", "6", "--set", "sft.steps=7", "--only-inside"], "holds results of other settings"),
    ],
)
def test_the_record_of_the_book_is_not_replaced_unasked(message, arguments, words):
    assert words in message(*arguments)


def test_products_are_kept_in_no_file_and_the_variable_is_named(message, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / place))
        assert f"the environment variable GECALIGN_RUNS: {tmp_path / 'file'} is a file" in message("run", "data")
    monkeypatch.setenv("GECALIGN_RUNS", "  ")
    assert "a path is empty" in message("run", "data")


def test_an_export_keeps_a_link_and_does_not_replace_the_folder_that_one_is_in(tmp_path, monkeypatch):
    from gecalign.export import folder as exporting
    from gecalign.study import existing

    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(existing, "chain", lambda *_: ())
    monkeypatch.setattr(exporting, "_subject", lambda *_: None)
    monkeypatch.setattr(exporting, "_write", lambda _, folder: (folder / "model").write_text("made"))
    export.export(None, "sft", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "model").read_text() == "made"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]
    (tmp_path / "empty" / "below").mkdir(parents=True)
    for place in ("empty/below", "empty"):
        monkeypatch.chdir(tmp_path / "empty" / "below")
        with pytest.raises(ValueError, match=r"takes the place of a folder, and you are in it: .*Give \./model"):
            export.export(None, "sft", tmp_path / place)
