"""Checks of what models read and write, on a study in order and on one with something made wrong on purpose."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from examining import assert_found, patient

from gecalign import config, prompts
from gecalign.checks import texts
from gecalign.checks.patient import Patient
from gecalign.study import Study
from gecalign.training import dpo, rows, sft

FOUND = [
    (texts.prompts_unseen, {}, "pass", "none of the prompts"),
    (texts.prompts_unseen, {"grpo__split": "train"}, "warn", "100% of the split train"),
    (texts.references, {}, "pass", r"^dev: one reference a sentence, for \d+% the sentence itself; test: one"),
    (texts.labels, {}, "pass", r"SFT's .* exactly the completion .* DPO's"),
    (texts.labels, {"sft__completion_only_loss": False}, "warn", "covers the tokens of the prompt, too"),
    (texts.labels, {"lora__rank": 4}, "pass", "exactly the completion"),
    (texts.boundary, {}, "pass", "all of 24 rows"),
    (texts.lengths, {}, "pass", "drops 0 of 24 rows.*0 of 8 references.*fits into the model's context of 256"),
    (texts.lengths, {"sft__max_length": 30}, "fail", r"drops \d+ of 24 rows as longer than sft__max_length, 30"),
    (texts.lengths, {"decoding__max_new_tokens": 6}, "fail",
     r"8 of 8 references of dev.*perfect corrections would score \d+\.\d"),
    (texts.lengths, {"decoding__max_new_tokens": 240}, "fail", "does not fit into the model's context of 256"),
]  # fmt: skip


@pytest.mark.parametrize(("look", "changes", "status", "words"), FOUND)
def test_what_a_check_says_of_settings(study, look, changes, status, words):
    assert_found(look(patient(study, **changes)), status, words)


def test_several_references_are_counted_where_their_number_varies(study, monkeypatch):
    own = study.examples("test")
    changed = [replace(own[0], reference=(own[0].source, "another", "another")), *own[1:]]
    ill = patient(study)
    monkeypatch.setattr(ill.study, "examples", lambda split: changed if split == "test" else own)
    assert_found(texts.references(ill), "pass", r"test: 1 to 3 references a sentence \(1\.\d that differ\), among them")


# ---- labels


def test_labels_without_eos_because_of_a_column_text(study, monkeypatch):
    ordinary = rows.demonstrations

    def with_text(*args: object) -> list[dict[str, str]]:
        return [row | {"text": row["prompt"] + row["completion"]} for row in ordinary(*args)]

    monkeypatch.setattr(rows, "demonstrations", with_text)
    assert_found(texts.labels(Patient(study)), "fail", "SFT's loss covers no EOS.*column text")


def test_labels_of_the_prompt_that_nobody_asked_for(study, monkeypatch):
    ordinary = sft.SFTConfig
    monkeypatch.setattr(sft, "SFTConfig", lambda **given: ordinary(**given | {"completion_only_loss": False}))
    assert_found(texts.labels(Patient(study)), "fail", "'Fix grammar: .* and should cover ' ")


def test_labels_of_pairs_that_were_cut(study, monkeypatch):
    ordinary = dpo.DPOConfig
    monkeypatch.setattr(dpo, "DPOConfig", lambda **given: ordinary(**given | {"max_length": 40}))
    assert_found(texts.labels(Patient(study)), "fail", "DPO's loss covers no EOS")


# ---- the end of the prompt


def test_a_template_that_ends_inside_a_token(study, monkeypatch):
    monkeypatch.setattr(prompts, "completion", lambda text: text)  # the blank stands in the template instead
    ill = Patient(Study(study.profile, study.seed, study.root.parent))
    # a template that nobody has validated
    ill.study.profile = study.profile.variant(prompt__template="Fix grammar: {source}\nCorrected: ")
    assert_found(
        texts.boundary(ill), "fail",
        r"in \d+ of 24 rows a token spans .* alone it ends in ': ', with a completion .* ': [\w ]+'",
    )  # fmt: skip


def test_a_tokenizer_that_gives_back_another_text(study, monkeypatch):
    ill = Patient(study)
    ordinary = ill.tokenizer.decode
    monkeypatch.setattr(ill.tokenizer, "decode", lambda *args, **kwargs: ordinary(*args, **kwargs).replace(" a", "a"))
    assert_found(texts.boundary(ill), "fail", "gives another text back than it was given")


# ---- one prompt for all


def test_one_prompt_for_all_that_was_made(study):
    study.samples()
    assert_found(texts.same_prompt(Patient(study)), "pass", r"^\d+ products")
    other = patient(study, prompt__template="Correct: {source}\nCorrected:", sft__steps=1)
    assert_found(texts.same_prompt(other), "warn", r"(\d+) products .* \1 of them were made with another \(seed-0/")


def test_a_model_that_was_asked_with_another_prompt(study, tmp_path):
    own = Study(study.profile.variant(sft__steps=1), 0, tmp_path)
    mismatched = config.Prompt("Mend: {source}\nNow:")
    own.evaluation("sft", "dev", prompt=mismatched, allow_other_prompt=True)
    assert_found(texts.same_prompt(Patient(own)), "warn", "seed-0/sft-dev-.*asked with another prompt")
    planned = own.variant(config.dataclasses.replace(own.profile, mismatched_prompt=mismatched))
    assert texts.same_prompt(Patient(planned)).status == "pass"


def test_a_product_that_was_made_from_another_prompts(study, tmp_path):
    own = Study(study.profile.variant(sft__steps=1), 0, tmp_path)
    path = own.samples().folder / "stage.json"
    record = json.loads(path.read_text())
    record["spec"]["prompt"] = "0" * 12
    path.write_text(json.dumps(record))
    assert_found(texts.same_prompt(Patient(own)), "fail", "seed-0/samples-.*made with another prompt than")


# ---- outputs


def test_outputs_that_are_cut_off(study):
    study.samples()
    cut = texts.outputs(patient(study, decoding__max_new_tokens=3))
    assert_found(cut, "fail", "cut off at decoding__max_new_tokens, 3: [1-8] of 8 outputs on dev.*limit too low")
    assert "samples" not in cut.words.partition("dev")[2].partition(".")[0]  # nobody has drawn any under this limit
    assert re.search(r"\d+ of 8 outputs on dev, \d+ of 64 samples", texts.outputs(Patient(study)).words)
