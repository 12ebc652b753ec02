import contextlib
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import factories
import huggingface_hub
import pytest
from commandline import call
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError
from typer.testing import CliRunner

from gecalign import cli, config, export, metrics, prompts
from gecalign.export import folder as folder_of
from gecalign.export import licences, model_card
from gecalign.statistics import compare
from gecalign.study import Study, existing
from gecalign.systems import LABELS

FILES = {
    "model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "README.md", "gecalign.json",
}  # fmt: skip
HOSTILE = 'go <script>alert(1)</script> | **x** [y](http://z.org) `c` www.evil.org $a$ a_b_c \x1b[31m &lt; "q"'


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """Return a study in which SFT and DPO are trained, both and the base evaluated on test, and nothing else."""
    folder = tmp_path_factory.mktemp("export-study")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    made = Study(factories.preference_profile(factories.base_folder(folder / "base"), corpus), 0, folder / "runs")
    made.dpo()
    for system in ("base", "sft", "dpo"):
        made.evaluation(system, "test")
    return made


@pytest.fixture(scope="module")
def exported(study, tmp_path_factory) -> Path:
    return export.export(study, "dpo", tmp_path_factory.mktemp("exported") / "new" / "model")


@pytest.fixture
def copy(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def snippet(folder: Path) -> str:
    text = (folder / "README.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """Return the first table under a heading: the cells of each row by its first one."""
    lines = text.partition(f"## {heading}")[2].partition("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {first: rest for first, *rest in cells[2:]}


def other(study: Study, **changes: object) -> Study:
    return study.variant(study.profile.variant(**changes))


def subject(study: Study, profile: config.Profile, **changes: object) -> model_card.Subject:
    """Return a DPO model of the study that nobody has evaluated, as if it were of a profile."""
    usual = {"system": "dpo", "name": "m", "address": ".", "decoding": profile.decoding, "examples": []}
    return model_card.Subject(profile, 0, chain=existing.chain(study, "dpo"), evaluations={}, **usual | changes)


def test_the_folder_holds_the_stage_and_what_describes_it_and_nothing_else(study, exported):
    assert {path.name for path in exported.iterdir()} == FILES
    assert [path.name for path in exported.parent.iterdir()] == ["model"]  # nothing half-written beside it
    stage = study.dpo().folder / "model"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (exported / name).read_bytes() == (stage / name).read_bytes()


def test_the_snippet_of_the_card_corrects_as_the_study_does(study, exported, monkeypatch):
    monkeypatch.chdir(exported)
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(snippet(exported), names)  # plain Transformers, and no import of ours
    predictions = study.evaluation("dpo", "test").predictions
    assert [names["correct"](p.source) for p in predictions] == [p.hypothesis for p in predictions]
    assert names["correct"]("She go to school yesterday.") == shown.getvalue().strip()
    assert len({p.hypothesis for p in predictions}) > 1


def test_the_snippet_renders_exactly_the_training_prompt(exported):
    names: dict = {}
    exec("\n".join(line for line in snippet(exported).splitlines() if line.startswith("TEMPLATE")), names)
    assert names["TEMPLATE"] == config.Prompt().template


@pytest.mark.parametrize("template", ['é "quoted" \\ {source}\n```\n→', "'{source}' 😀 \u2028x"])
def test_any_prompt_survives_the_card(study, template):
    profile = replace(study.profile, prompt=config.Prompt(template))
    text = str(model_card.card(subject(study, profile), "unknown"))
    names: dict = {}
    exec(next(line for line in text.split("\n") if line.startswith("TEMPLATE")), names)
    assert names["TEMPLATE"] == template
    assert text.count("\n```") == 4  # two blocks of code, opened and closed


def test_generation_settings_are_ours(study, exported):
    from transformers import AutoTokenizer, GenerationConfig

    found, tokenizer = GenerationConfig.from_pretrained(exported), AutoTokenizer.from_pretrained(exported)
    assert found.max_new_tokens == study.profile.decoding.max_new_tokens
    assert found.do_sample is False
    assert (found.eos_token_id, found.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert tokenizer.pad_token_id is not None


def test_sampled_decoding_is_exported_as_such(study, tmp_path):
    from transformers import GenerationConfig

    sampling = replace(study.profile.decoding, temperature=0.7, top_p=0.9)
    folder_of._write(subject(study, study.profile, decoding=sampling), tmp_path)
    found = GenerationConfig.from_pretrained(tmp_path)
    assert (found.do_sample, found.temperature, found.top_p, found.top_k) == (True, 0.7, 0.9, 0)
    assert "at temperature 0.7" in (tmp_path / "README.md").read_text()


def test_the_metadata_of_the_card_parses_and_holds_the_scores(study, exported):
    card = ModelCard.load(exported / "README.md")
    metadata, scores = card.data, study.evaluation("dpo", "test").scores
    assert metadata.library_name == "transformers"
    assert (metadata.pipeline_tag, metadata.language) == ("text-generation", "en")
    assert metadata.license == "unknown"  # of a local base without a card
    assert metadata.get("base_model") is None  # a local folder is no model on the hub
    assert "dpo" in metadata.tags
    values = {result.metric_name: result for result in metadata.eval_results}
    assert {name: result.metric_value for name, result in values.items()} == {
        name: round(score.value, 2) for name, score in scores.scores.items()
    }
    assert values["BLEU"].metric_args["signature"] == scores.signatures()["BLEU"]
    assert values["BLEU"].dataset_split == "test"
    assert ModelCard(str(card)).data.to_dict() == metadata.to_dict()


def test_the_numbers_of_the_card_are_those_of_the_evaluations(study, exported):
    table = rows((exported / "README.md").read_text(encoding="utf-8"), "What it scores")
    assert list(table) == [LABELS[name] for name in ("copy", "base", "sft", "dpo")]
    for name in ("copy", "base", "sft", "dpo"):
        found = study.evaluation(name, "test")
        for metric, cell in zip(metrics.METRICS, table[LABELS[name]], strict=True):
            bounds = compare.interval(
                metric.statistics(found.hypotheses, found.references, found.sources), metric.score
            )
            assert cell == f"{bounds.estimate:.1f} ({bounds.low:.1f} to {bounds.high:.1f})"
    behaviour = rows((exported / "README.md").read_text(encoding="utf-8"), "What it does")
    assert behaviour["DPO"][0] == f"{100 * study.evaluation('dpo', 'test').scores.rates.exact:.1f} %"
    assert behaviour["copy the input"][1] == "100.0 %"


def test_the_record_tells_prompt_decoding_digests_and_the_whole_chain(study, exported):
    record = json.loads((exported / "gecalign.json").read_text(encoding="utf-8"))
    assert record["prompt"]["template"] == study.profile.prompt.template
    assert record["prompt"]["digest"] == study.dpo().record["spec"]["prompt"]
    assert record["decoding"]["max_new_tokens"] == study.profile.decoding.max_new_tokens
    assert [made["stage"] for made in record["chain"]] == ["data", "sft", "samples", "pairs", "dpo"]
    assert [made["content"] for made in record["chain"]] == [
        stage.content for stage in (study.corpus, study.sft(), study.samples(), study.pairs(), study.dpo())
    ]
    assert record["chain"][-1]["spec"] == study.dpo().record["spec"]
    weights = study.dpo().record["files"]["model/model.safetensors"]
    assert record["files"]["model.safetensors"] == weights
    assert record["scores"]["test"]["dpo"]["BLEU"] == study.evaluation("dpo", "test").scores.scores["BLEU"].value


def test_no_path_of_this_machine_gets_out(study, exported):
    secret = str(Path(study.profile.model.name).parent)
    texts = [path for path in exported.iterdir() if path.suffix != ".safetensors"]
    assert len(texts) == 6
    assert [path.name for path in texts if secret in path.read_text(encoding="utf-8")] == []


def test_no_test_set_is_decoded_for_a_card(study, tmp_path):
    """SFT continued has no evaluation; the readings of the test set stay as they are, and the card says so."""
    study.trained("sft-continued")
    readings = (study.root / "test-readings.txt").read_text()
    folder = export.export(study, "sft-continued", tmp_path / "out")
    assert (study.root / "test-readings.txt").read_text() == readings
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "It was not evaluated on the test set." in text
    assert f"{study.trained('sft-continued').facts['dev_bleu']:.1f} BLEU" in text
    assert ModelCard(text).data.eval_results is None


def test_what_was_not_evaluated_is_left_out(study, tmp_path):
    """Under another decoding only what was decoded so is shown, beside copying."""
    changed = other(study, decoding__batch_tokens=16_384)
    changed.sft()
    changed.evaluation("sft", "test")
    text = (export.export(changed, "sft", tmp_path / "out") / "README.md").read_text(encoding="utf-8")
    assert list(rows(text, "What it scores")) == ["copy the input", "SFT"]


def test_examples_are_the_first_of_dev(study, exported):
    table = rows((exported / "README.md").read_text(encoding="utf-8"), "Examples")
    assert list(table) == [model_card.escape(e.source) for e in study.examples("dev")[:3]]
    dev = study.evaluation("dpo", "dev").predictions
    assert [cells[0] for cells in table.values()] == [model_card.escape(p.hypothesis) for p in dev[:3]]


def test_text_from_data_can_neither_break_the_card_nor_become_html(study):
    from markdown_it import MarkdownIt

    escaped = model_card.escape(HOSTILE)
    assert "\n" not in escaped
    assert "\x1b" not in escaped
    hostile = subject(study, study.profile, examples=[(HOSTILE, "---\n# " + HOSTILE)])
    text = str(model_card.card(hostile, "unknown"))
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(text.partition("## Examples")[2].partition("\n## ")[0])
    assert rendered.count("<td>") == 2
    for tag in ("<script", "<strong", "<a ", "<code", "<em", "<h1", "<hr"):
        assert tag not in rendered
    # what is read is what was written
    assert "go &lt;script&gt;alert(1)&lt;/script&gt; | **x** [y](http://z.org) `c`" in rendered
    assert "www.evil.org" not in text  # would be made a link


def test_a_hub_base_and_hub_data_are_named_with_revision_and_licence(study):
    profile = config.profile("smollm-135m")
    made = subject(study, profile, system="grpo", name="SmolLM-135M-gec-grpo", address="me/x")
    card = model_card.card(made, licences.of(profile.model))
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == "HuggingFaceTB/SmolLM-135M"
    assert card.data.datasets == ["grammarly/coedit"]
    assert profile.model.revision in card.text
    assert profile.data.revision in card.text
    assert 'MODEL = "me/x"' in card.text
    assert model_card.name(profile.model, "grpo") == "SmolLM-135M-gec-grpo"


def test_the_card_of_a_llama_says_what_its_licence_asks_for(study):
    profile = config.profile("llama-3.2-1b")
    name = model_card.name(profile.model, "dpo")
    card = model_card.card(subject(study, profile, name=name), licences.of(profile.model))
    assert (card.data.license, name) == ("llama3.2", "Llama-3.2-1B-gec-dpo")
    assert "**Built with Llama.** " + licences.LLAMA_NOTICE in card.text
    assert licences.LLAMA_ADDRESS in card.text


def test_a_local_base_keeps_the_licence_of_its_card(tmp_path):
    assert licences.of(config.Model()) == "apache-2.0"  # the shipped one
    (tmp_path / "README.md").write_text("---\nlicense: llama3.2\n---\n")
    assert licences.of(config.Model(str(tmp_path))) == "llama3.2"
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    assert licences.of(config.Model(str(tmp_path))) == "unknown"


def test_llama_brings_its_notice_its_name_and_its_text(tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    (base / "README.md").write_text("---\nlicense: llama3.2\n---\n")
    model = config.Model(str(base))
    assert licences.write(model, out) == "llama3.2"
    assert "Llama 3.2 Community License" in (out / "NOTICE").read_text()
    with pytest.raises(ValueError, match=r"has no LICENSE\.txt. Fetch it with the base \(`hf download base"):
        licences.check_publishable(out, "llama3.2", "base", "me/Llama-gec")
    (base / "LICENSE.txt").write_text("the terms")
    licences.write(model, out)
    licences.check_publishable(out, "llama3.2", "base", "me/Llama-gec")
    with pytest.raises(ValueError, match="for example Llama-gec"):
        licences.check_publishable(out, "llama3.2", "base", "me/gec")
    assert model_card.name(model, "sft") == "Llama-base-gec-sft"
    assert licences.of(config.profile("llama-3.2-1b").model) == "llama3.2"


@pytest.mark.parametrize(
    ("system", "words"),
    [("base", "'base' is not trained"), ("copy", "'copy' is not trained"), ("stf", "unknown system 'stf'")],
)
def test_what_has_no_model_of_its_own_is_no_export(study, tmp_path, system, words):
    with pytest.raises(ValueError, match=words):
        export.export(study, system, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_untrained_system_is_not_trained_for_an_export(study, tmp_path):
    before = sorted(path.name for path in study.folder.iterdir())
    with pytest.raises(existing.NotMade, match="grpo of the profile local with seed 0 has not been trained yet"):
        export.export(study, "grpo", tmp_path / "out")
    with pytest.raises(existing.NotMade, match=r"`gecalign run sft --profile tiny --seed 7`\."):
        existing.chain(Study("tiny", 7, tmp_path / "runs"), "sft")
    assert sorted(path.name for path in study.folder.iterdir()) == before
    assert not (tmp_path / "runs").exists()
    assert other(study, data__test_rows=11).corpus.folder.exists()  # and things are made as before afterwards


def test_a_folder_in_use_is_left_alone(study, copy, tmp_path):
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(ValueError, match="is not empty, and no earlier export"):
            export.export(study, "dpo", used, force=force)
    with pytest.raises(ValueError, match="is a file"):
        export.export(study, "dpo", used / "thesis.txt", force=True)
    with pytest.raises(ValueError, match="holds an earlier export"):
        export.export(study, "dpo", copy)
    (copy / "notes").mkdir()
    (copy / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds more than an export: notes would be lost"):
        export.export(study, "dpo", copy, force=True)
    assert (copy / "notes" / "mine.txt").read_text() == "mine"


def test_force_replaces_an_earlier_export_and_an_empty_folder_is_filled(study, copy, tmp_path):
    (copy / "README.md").write_text("old")
    export.export(study, "sft", copy, force=True)
    assert json.loads((copy / "gecalign.json").read_text())["system"] == "sft"
    assert "old" not in (copy / "README.md").read_text()[:4]
    (tmp_path / "empty").mkdir()
    export.export(study, "sft", tmp_path / "empty")
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "empty"}


def test_an_export_that_fails_leaves_what_was_there(study, copy, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    monkeypatch.setattr("gecalign.runtime.store.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        export.export(study, "sft", copy, force=True)
    with pytest.raises(OSError, match="No space left"):
        export.export(study, "sft", copy.parent / "fresh")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_an_export_that_cannot_take_its_place_leaves_the_earlier_one(study, copy, monkeypatch):
    ordinary = Path.rename

    def refusing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise PermissionError("no")
        return ordinary(self, target)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(PermissionError):
        export.export(study, "sft", copy, force=True)
    assert json.loads((copy / "gecalign.json").read_text())["system"] == "dpo"
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_weights_can_be_read_by_those_who_can_read_the_rest(study, copy):
    for folder in (copy, study.sft().folder / "model"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*.*")}
        assert len(set(modes.values())) == 1, modes


def test_a_product_of_the_study_is_no_place_for_an_export(study):
    for inside in (".", "model", "a/b"):
        with pytest.raises(ValueError, match=r"lies in a product of the study|is not empty"):
            export.export(study, "sft", study.dpo().folder / inside / "exported" if inside != "model" else
                          study.dpo().folder / "model")  # fmt: skip
    study.dpo()


@pytest.mark.parametrize("change", ["zeros", "gone"])
def test_a_file_that_is_not_what_was_exported_is_noticed(copy, change):
    weights = copy / "model.safetensors"
    if change == "gone":
        weights.unlink()
    else:
        raw = weights.read_bytes()
        weights.write_bytes(raw[:-64] + bytes(64))
    words = {"zeros": "model.safetensors was changed after it was exported", "gone": "model.safetensors is missing"}
    with pytest.raises(ValueError, match=words[change]):
        export.load(copy)


def test_the_card_is_for_its_readers_to_change_and_hidden_files_are_not_ours(copy):
    (copy / "README.md").write_text("# Mine\n")
    (copy / ".gitattributes").touch()
    export.load(copy)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("prompt", "template"), "{source}", "the prompt was changed after it was exported"),
        (("prompt", "template"), 5, "prompt__template"),
        (("prompt", "digest"), "x", "the prompt was changed"),
        (("decoding", "max_new_tokens"), "64", "decoding__max_new_tokens"),
        (("decoding", "max_new_tokens"), -5, "decoding__max_new_tokens must be at least 1 .* is -5"),
        (("decoding", "beams"), 4, "no field 'beams'"),
        (("decoding",), [], "decoding is no dict"),
        (("chain",), [1], "chain holds what is no record"),
        (("chain",), None, "chain is no list"),
        (("files",), None, "files is no dict"),
    ],
)
def test_a_record_that_was_changed_is_refused_with_its_name(copy, where, value, words):
    record = json.loads((copy / "gecalign.json").read_text())
    owner = record
    for name in where[:-1]:
        owner = owner[name]
    owner[where[-1]] = value
    (copy / "gecalign.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rf"gecalign\.json cannot be read .*{words}"):
        export.load(copy)


class FakeHub:
    """Stands in for HfApi: notes what it is asked, and refuses with `error` if it has one."""

    def __init__(self, error: Exception | None = None, private: bool = False):
        self.error, self.private, self.asked = error, private, {}

    def __call__(self):
        return self

    def create_repo(self, repo_id: str, **options: object) -> str:
        if self.error:
            raise self.error
        self.asked["create"] = (repo_id, options)
        return f"https://huggingface.co/{repo_id}"

    def model_info(self, repo_id: str):
        return self

    def upload_folder(self, *, folder_path, allow_patterns, **options: object) -> None:
        from huggingface_hub.utils import filter_repo_objects

        names = [path.name for path in Path(folder_path).iterdir()]
        self.asked["files"] = set(filter_repo_objects(names, allow_patterns=allow_patterns))
        self.asked["upload"] = options


@pytest.fixture
def hub(monkeypatch):
    def fake(**options) -> FakeHub:
        made = FakeHub(**options)
        monkeypatch.setattr(huggingface_hub, "HfApi", made)
        return made

    return fake


def test_what_is_pushed_is_the_export_and_nothing_that_lies_beside_it(hub, copy):
    (copy / "pytorch_model.bin").write_bytes(b"pickle")
    (copy / ".env").write_text("secret")
    asked = hub()
    assert export.push(copy, "me/gec") == "https://huggingface.co/me/gec"
    assert asked.asked["create"] == ("me/gec", {"private": None, "exist_ok": True})
    assert asked.asked["upload"]["repo_id"] == "me/gec"
    assert asked.asked["files"] == FILES


def test_a_private_push_never_goes_to_a_public_repository(hub, copy):
    public = hub(private=False)
    with pytest.raises(ValueError, match="me/gec exists and is public"):
        export.push(copy, "me/gec", private=True)
    assert "files" not in public.asked
    private = hub(private=True)
    export.push(copy, "me/gec", private=True)
    assert private.asked["create"][1]["private"] is True
    assert "files" in private.asked


def test_without_a_login_or_a_net_the_error_says_what_to_do(hub, copy, monkeypatch):
    hub(error=LocalTokenNotFoundError("Token is required.\nmore"))
    with pytest.raises(ValueError, match=r"me/gec could not be pushed .*`hf auth login`") as refused:
        export.push(copy, "me/gec")
    assert "\n" not in str(refused.value)
    monkeypatch.undo()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(ValueError, match="OfflineModeIsEnabled"):  # the library itself
        export.push(copy, "me/gec")


@pytest.mark.parametrize("name", ["gec", "me/", "me/a/b", "me/a b"])
def test_a_name_that_the_hub_would_not_take_is_refused(hub, copy, name):
    asked = hub()
    with pytest.raises(ValueError, match=r"user/name|repo_name|Repo id"):
        export.push(copy, name)
    assert asked.asked == {}


# ---- from the shell


@pytest.fixture
def shell(study, monkeypatch) -> Study:
    """Let the command line find the study under the name of a profile."""
    monkeypatch.setenv("GECALIGN_RUNS", str(study.root.parent))
    monkeypatch.setitem(config.PROFILES, "local", study.profile)
    return study


def test_export_and_correct_from_the_shell(shell, tmp_path):
    folder = tmp_path / "out"
    assert call("export", "--system", "dpo", "-p", "local", folder).startswith(f"dpo of local, seed 0: {folder} (")
    sources = [p.source for p in shell.evaluation("dpo", "test").predictions]
    wanted = [p.hypothesis for p in shell.evaluation("dpo", "test").predictions]
    shown = call("correct", "-", "--plain", "--model", folder, input="\n".join(sources))
    assert shown.splitlines() == wanted
    assert call("correct", sources[0], "--plain", "--model", folder).strip() == wanted[0]
    assert call("correct", sources[0], "--plain", "--system", "dpo", "-p", "local").strip() == wanted[0]


def test_a_push_from_the_shell_asks_nothing_and_prints_the_address(shell, hub, tmp_path):
    asked = hub(private=True)
    shown = call("export", "--system", "sft", "-p", "local", tmp_path / "out", "--push-to", "me/gec", "--private")
    assert shown.splitlines()[-1] == "pushed: https://huggingface.co/me/gec"
    assert 'MODEL = "me/gec"' in snippet(tmp_path / "out")
    assert "model.safetensors" in asked.asked["files"]
    assert ModelCard.load(tmp_path / "out" / "README.md").data.model_name == "gec"


def test_nothing_is_pushed_unless_it_is_asked_for(shell, hub, tmp_path):
    asked = hub()
    call("export", "--system", "sft", "-p", "local", tmp_path / "out")
    assert asked.asked == {}


def test_a_model_folder_without_a_record_wants_its_prompt(copy, message, exported):
    (copy / "gecalign.json").unlink()
    shown = message("correct", "she go home 1.", "--model", copy)
    assert "has no gecalign.json" in shown
    assert "--prompt" in shown
    asked = ("correct", "she go home 1.", "--plain")
    template = config.Prompt().template
    assert call(*asked, "--model", copy, "--prompt", template) == call(*asked, "--model", exported)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "{copy}", "--prompt", "Fix: {source}"], "knows the prompt: leave --prompt out"),
        (["--model", "{copy}", "--prompt", "Fix:"], "was trained with the prompt"),
        (["--model", "{copy}", "--system", "dpo"], "--system does not go with --model, which brings"),
        (["--model", "{copy}", "--set", "sft.steps=3"], "--set does not go with --model, which brings"),
        (["--model", "{damaged}"], "gecalign.json cannot be read"),
        (["--model", "{empty}", "--prompt", "Fix: {source}"], "is not a complete model folder"),
        (["--model", "{empty}", "--prompt", "Fix:"], "must contain {source} exactly once"),
    ],
)
def test_a_mistake_with_a_model_folder_is_answered_in_one_line(copy, message, tmp_path, options, words):
    folders = {"copy": copy, "damaged": tmp_path / "damaged", "empty": tmp_path / "empty"}
    folders["empty"].mkdir()
    shutil.copytree(copy, folders["damaged"])
    (folders["damaged"] / "gecalign.json").write_text('{"format": 99}')
    filled = [
        option.replace("{copy}", str(copy)).replace("{damaged}", str(folders["damaged"])).replace(
            "{empty}", str(folders["empty"]))
        for option in options
    ]  # fmt: skip
    shown = message("correct", "she go home 1.", *filled)
    assert words in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--system", "grpo"], "grpo of the profile local with seed 0 has not been trained yet. Train it first"),
        (["--system", "base"], "'base' is not trained"),
        (["--system", "sft", "--push-to", "gec"], "--push-to takes user/name"),
    ],
)
def test_a_mistake_in_an_export_is_answered_in_one_line(shell, message, tmp_path, arguments, words):
    shown = message("export", "-p", "local", tmp_path / "out", *arguments)
    assert words in shown
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_correct_trains_no_large_model_unless_it_is_told_to(message, tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path))
    shown = message("correct", "She go home.", "--profile", "smollm-135m")
    assert "Train it first: `gecalign run sft --profile smollm-135m`." in shown
    assert "--train" in shown
    assert len(shown.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_correct_with_train_goes_ahead(shell, monkeypatch):
    asked = []
    monkeypatch.setattr(Study, "model", lambda self, system: asked.append(system) or (None, None))
    monkeypatch.setattr("gecalign.models.decode.decode", lambda *a, **k: (_ for _ in ()).throw(ValueError("asked")))
    options = ["correct", "x", "-p", "local", "--set", "sft.steps=61"]
    refused = CliRunner().invoke(cli.app, options)
    assert isinstance(refused.exception, ValueError)
    assert "with the same --set" in str(refused.exception)
    assert asked == []  # 61 updates of SFT are another model than that of the fixture, which has 60
    CliRunner().invoke(cli.app, [*options, "--train"])
    assert asked == ["sft"]


def test_the_prompt_of_an_export_is_the_one_it_was_trained_with(exported):
    loaded = export.load(exported)
    assert prompts.digest(loaded.prompt) == prompts.digest(config.Prompt())
    assert loaded.decoding.max_new_tokens == 24
    assert export.load(exported, config.Prompt().template).prompt == loaded.prompt
