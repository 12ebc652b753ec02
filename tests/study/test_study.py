import json

import factories
import pytest

from gecalign import prompts
from gecalign.config import Decoding, Prompt
from gecalign.models import loading
from gecalign.runtime import store
from gecalign.study import Study
from gecalign.training import sft

OTHER = Prompt("Correct: {source}\n->")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    return factories.local_profile(factories.base_folder(folder / "base"), corpus)


@pytest.fixture(scope="module")
def study(profile, tmp_path_factory) -> Study:
    return Study(profile, seed=0, runs=tmp_path_factory.mktemp("runs"))


def test_stages_are_made_once_and_found_by_the_next_study(study, profile, monkeypatch):
    study.evaluation("sft", "dev")
    monkeypatch.setattr(store, "_make", lambda *_: pytest.fail("a stage was made again"))
    again = Study(profile, seed=0, runs=study.root.parent)
    assert again.corpus.record == study.corpus.record
    assert again.sft().record == study.sft().record
    assert again.evaluation("sft", "dev").predictions == study.evaluation("sft", "dev").predictions


def test_the_corpus_comes_from_the_named_file(study):
    references = {reference for _, reference in factories.pairs(60)}
    splits = {name: study.examples(name) for name in ("train", "preference", "dev", "test")}
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 32, "preference": 8, "dev": 8, "test": 12}
    assert {example.reference for rows in splits.values() for example in rows} == references
    assert study.corpus.facts["rows"] == {"train": 32, "preference": 8, "dev": 8, "test": 12, "validation": 0}


def test_copying_scores_every_source_as_it_stands(study):
    evaluation = study.evaluation("copy", "dev")
    assert evaluation.hypotheses == evaluation.sources == [example.source for example in study.examples("dev")]
    assert evaluation.references == [example.reference for example in study.examples("dev")]
    assert evaluation.scores.rates.copied == 1


@pytest.mark.parametrize("system", ["base", "sft"])
def test_a_system_is_evaluated_on_every_row_and_its_scores_are_those_of_its_predictions(study, system):
    evaluation = study.evaluation(system, "dev")
    assert [p.id for p in evaluation.predictions] == [example.id for example in study.examples("dev")]
    assert all(0 < p.tokens <= 8 for p in evaluation.predictions)
    stored = json.loads((evaluation.stage.folder / "metrics.json").read_text())
    assert stored["n"] == 8
    assert stored["BLEU"] == evaluation.scores.scores["BLEU"].value
    assert stored["signatures"] == evaluation.scores.signatures()


def test_the_evaluation_of_sft_on_dev_gives_the_bleu_it_was_chosen_by(study):
    assert study.evaluation("sft", "dev").scores.scores["BLEU"].value == study.sft().facts["dev_bleu"]


def test_base_and_sft_are_different_models(study):
    assert study.evaluation("base", "dev").hypotheses != study.evaluation("sft", "dev").hypotheses


def test_readings_of_the_test_set_are_counted_and_printed(profile, tmp_path, capsys):
    study = Study(profile, seed=3, runs=tmp_path)
    study.evaluation("copy", "test")  # a score that nothing can be chosen by
    study.evaluation("base", "dev")
    assert not (study.root / "test-readings.txt").exists()
    study.evaluation("base", "test")
    study.evaluation("base", "test")  # found, not read again
    assert (study.root / "test-readings.txt").read_text() == "base seed 3\n"
    study.evaluation("base", "test", Decoding(max_new_tokens=3))
    assert (study.root / "test-readings.txt").read_text() == "base seed 3\n" * 2
    assert "test set of local: reading 2 (base, seed 3)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.evaluation("stf"), "unknown system 'stf'. Systems: copy, base, best-of-n, sft"),
        (lambda s: s.model("stf"), "unknown system 'stf'"),
        (lambda s: s.log("stf"), "unknown system 'stf'"),
        (lambda s: s.log("base"), "'base' is not trained"),
        (lambda s: s.model("copy"), "'copy' is not trained"),
        (
            lambda s: s.evaluation("copy", "deb"),
            "unknown split 'deb'. Splits: train, preference, dev, test, validation",
        ),
        (lambda s: s.evaluation("copy", "validation"), "has no validation rows"),
        (lambda s: s.evaluation("base", decoding=Decoding(1.0, samples=4)), "decoding__samples is 4"),
        (lambda s: s.evaluation("base", prompt=Prompt("x")), "exactly once"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does_and_leaves_nothing_behind(study, ask, words):
    study.corpus  # noqa: B018 - made now, so that only traces of the request would be new
    before = sorted(study.root.rglob("*"))
    with pytest.raises(ValueError, match=words):
        ask(study)
    assert sorted(study.root.rglob("*")) == before


def test_a_trained_system_is_not_evaluated_with_another_prompt_unless_that_is_meant(study):
    with pytest.raises(ValueError, match="allow_other_prompt=True"):
        study.evaluation("sft", "dev", prompt=OTHER)
    usual, other = (
        study.evaluation("sft", "dev"),
        study.evaluation("sft", "dev", prompt=OTHER, allow_other_prompt=True),
    )
    assert other.stage.folder != usual.stage.folder
    assert other.stage.record["spec"]["prompt"] == prompts.digest(OTHER)
    assert other.hypotheses != usual.hypotheses
    assert study.evaluation("sft", "dev", prompt=study.profile.prompt).stage == usual.stage


def test_an_untrained_system_may_be_asked_with_any_prompt(study):
    assert study.evaluation("base", "dev", prompt=OTHER).stage.record["spec"]["prompt"] == prompts.digest(OTHER)


def test_the_prompt_that_is_asked_is_the_one_that_is_given(study, monkeypatch):
    from gecalign.models import decode

    asked = []
    ordinary = decode.decode
    monkeypatch.setattr(decode, "decode", lambda m, p, *a, **k: asked.extend(p) or ordinary(m, p, *a, **k))
    study.evaluation("base", "dev", Decoding(max_new_tokens=2), prompt=OTHER)
    assert asked == [f"Correct: {example.source}\n->" for example in study.examples("dev")]


def test_the_log_is_readable(study):
    log = study.log("sft")
    assert log["step"].iloc[-1] == 4
    assert {"loss", "eval_loss", "eval_bleu", "learning_rate"} <= set(log.columns)
    assert log["eval_bleu"].notna().sum() >= 3


def test_the_trained_model_can_be_loaded(study):
    model, tokenizer = study.model("sft")
    assert sum(p.numel() for p in model.parameters()) == study.sft().facts["parameters"]
    assert tokenizer.eos_token == "<|endoftext|>"


def test_two_seeds_share_the_corpus_and_nothing_else(study, profile):
    other = Study(profile, seed=1, runs=study.root.parent)
    assert other.corpus.folder == study.corpus.folder
    assert other.folder != study.folder
    assert other.sft().content != study.sft().content


@pytest.mark.parametrize(
    ("change", "corpus_too"),
    [
        ({"sft__learning_rate": 5e-3}, False),
        ({"prompt__template": OTHER.template}, False),
        ({"decoding__max_new_tokens": 6}, False),
        ({"data__test_rows": 11}, True),
    ],
)
def test_a_changed_value_makes_another_folder_and_leaves_the_old(study, profile, monkeypatch, change, corpus_too):
    monkeypatch.setattr(sft, "train", lambda *_, **means: {})
    old = study.sft().folder
    changed = Study(profile.variant(**change), seed=0, runs=study.root.parent)
    assert changed.sft().folder != old
    assert old.exists()
    assert (changed.corpus.folder != study.corpus.folder) is corpus_too


def test_another_base_model_makes_another_training(study, profile, tmp_path, monkeypatch):
    monkeypatch.setattr(sft, "train", lambda *_, **means: {})
    other = factories.base_folder(tmp_path / "other", seed=5)
    changed = Study(profile.variant(model__name=str(other)), seed=0, runs=study.root.parent)
    assert changed.sft().folder != study.sft().folder


def test_a_moved_base_model_is_the_same_model(study, profile, tmp_path):
    moved = factories.base_folder(tmp_path / "moved")
    assert loading.identity(profile.variant(model__name=str(moved)).model) == study.sft().record["spec"]["start"]


def test_a_changed_corpus_file_is_noticed(profile, tmp_path):
    path = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(40))
    changed = profile.variant(data__source=str(path))
    first = Study(changed, runs=tmp_path).corpus.folder
    factories.write_jsonl(path, factories.coedit_rows(41))
    assert Study(changed, runs=tmp_path).corpus.folder != first


def test_a_prompt_that_cannot_work_is_refused_at_once(profile, tmp_path):
    with pytest.raises(ValueError, match="ends in white space"):
        Study(profile.variant(prompt__template="Fix: {source} "), runs=tmp_path)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="unknown profile 'tinny'"):
        Study("tinny")


# What is made from what: a change here has everybody's models made again, so it is one that somebody meant.
FIRST_STAGES = {"smoke": "sft-cdbe08831dd6", "tiny": "sft-f0b179589978"}


@pytest.mark.parametrize("name", FIRST_STAGES)
def test_the_digest_of_sft_stays_what_it_is(name, tmp_path):
    study = Study(name, 0, tmp_path)
    assert study.corpus.content
    with store.only_existing(), pytest.raises(store.NotMade, match=f"/{FIRST_STAGES[name]} yet"):
        study.sft()
