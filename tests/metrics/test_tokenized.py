"""Texts that are tokenised already: split at blanks, and nowhere else."""

import json

import pytest
import sacrebleu
from commandline import call

from gecalign import metrics, report

SOURCES = ["I do n't know 3.5 %a .", "He go to a well-known place !", "It 's so ."]
REFERENCES = [
    ("I do n't know 3.5 %a .", "I did n't know ."),
    ("He goes to a well-known place !",) * 2,
    ("It is so .",) * 2,
]
HYPOTHESES = ["I do n't know it .", "He goes to a well-known place !", "It 's so ."]


def test_each_metric_has_its_like_and_says_so_in_its_signature():
    ordinary, tokenized = metrics.metrics_of(False), metrics.metrics_of(True)
    assert ordinary == metrics.METRICS
    assert [one.name for one in tokenized] == [one.name for one in ordinary]
    said = {one.name: one.signature(2) for one in tokenized}
    assert "tok:none" in said["BLEU"]
    assert "tok:blanks" in said["GLEU"]
    assert "tok:blanks" in said["edit F0.5"]
    assert said["chrF2"] == metrics.chrf.signature(2)  # blanks do not count in it


def test_bleu_is_sacrebleus_without_a_tokenizer():
    found = metrics.evaluate(HYPOTHESES, REFERENCES, SOURCES, tokenized=True).scores["BLEU"]
    expected = sacrebleu.corpus_bleu(HYPOTHESES, list(zip(*REFERENCES, strict=True)), tokenize="none", force=True)
    assert found.value == pytest.approx(expected.score)


def test_a_token_is_what_stands_between_blanks():
    used = {one.name: one for one in metrics.metrics_of(True)}
    lengths = used["GLEU"].statistics(HYPOTHESES, REFERENCES, SOURCES)[:, 0].tolist()
    assert lengths == [len(text.split()) for text in HYPOTHESES]
    edits = used["edit F0.5"].statistics(["a b-c"], ["a b - c"], ["a b c"])
    assert edits.tolist() == [[0, 1, 1]]  # one word in place of two, where a token was to be put between


def test_commands_take_texts_as_tokens(tmp_path):
    names = {"h": HYPOTHESES, "s": SOURCES, "r": [several[0] for several in REFERENCES]}
    for name, texts in names.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(texts) + "\n")
    files = ["--sources", tmp_path / "s.txt", "--references", tmp_path / "r.txt", "--json"]
    said = json.loads(call("score", tmp_path / "h.txt", *files, "--tokenized"))
    assert "tok:blanks" in said["signatures"]["GLEU"]
    assert "tok:blanks" not in json.loads(call("score", tmp_path / "h.txt", *files))["signatures"]["GLEU"]
    inputs = report.Inputs({"one": HYPOTHESES, "other": SOURCES}, SOURCES, REFERENCES)
    made = report.build(inputs, report.Settings(resamples=200, tokenized=True))
    assert "tok:blanks" in made.signatures["GLEU"]
