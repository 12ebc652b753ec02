"""The base model that ships with the package shows what a base model shows: it speaks, copies, does not correct."""

import json
import math

import pytest
import torch
from rapidfuzz.distance import Indel

from gecalign import metrics, prompts
from gecalign.config import Decoding, Model, Prompt
from gecalign.corpus.tinygec.corpus import generate
from gecalign.corpus.tinygec.pretrain import Recipe, beginning_digest, documents
from gecalign.models import loading
from gecalign.models.decode import decode

CARD = json.loads((loading.TINY_BASE / "recipe.json").read_text())


@pytest.fixture(scope="module")
def base():
    return loading.load(Model())


def nats_per_token(base, text: str) -> float:
    model, tokenizer = base
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        return model(input_ids=ids, labels=ids).loss.item()


def test_has_one_to_three_million_parameters_and_the_card_says_how_many(base):
    count = base[0].num_parameters()
    assert 1_000_000 <= count <= 3_000_000
    assert CARD["parameters"] == count


def test_ships_as_safetensors_and_nothing_else_that_holds_weights():
    weights = {path.name for path in loading.TINY_BASE.iterdir() if path.stat().st_size > 1_000_000}
    assert weights == {"model.safetensors"}


def test_was_pretrained_on_what_the_grammar_writes_today():
    # fails when lexicon or grammar changed: rebuild the base (CONTRIBUTING.md, "The tiny base")
    assert beginning_digest(Recipe(**CARD["recipe"])) == CARD["beginning_digest"]


def test_read_no_corrections():
    recipe = Recipe(**CARD["recipe"])
    beginning = [text for _, text in zip(range(500), documents(recipe), strict=False)]
    assert not any("Fix grammar" in text or "Corrected" in text for text in beginning)


def test_finds_english_word_order_much_likelier_than_the_same_words_backwards(base):
    sentences = [example.reference for example in generate("test", 50, seed=99).examples]
    forwards = sum(nats_per_token(base, text) for text in sentences)
    backwards = sum(nats_per_token(base, " ".join(reversed(text.split()))) for text in sentences)
    assert forwards < backwards - 2 * len(sentences)  # two nats a token


def test_knows_far_more_than_the_frequencies_of_its_vocabulary(base):
    sentences = [example.reference for example in generate("test", 50, seed=99).examples]
    mean = sum(nats_per_token(base, text) for text in sentences) / len(sentences)
    assert mean < 0.5 * math.log(base[0].config.vocab_size)


def test_copies_a_line_with_made_up_words(base):
    lines = [
        "The zwick saw Anna and a blorf near the river.",
        "Every morning, my plonter goes to the garden to drem a book.",
        "They have wuggled in the kitchen since Monday.",
        "Where did the frimp put her glasses last night?",
    ]
    outputs = decode(base, [line + "\n\n" for line in lines], Decoding(max_new_tokens=32))
    echoes = [output.text.strip().split("\n")[0] for (output,) in outputs]
    likeness = [Indel.normalized_similarity(echo, line) for echo, line in zip(echoes, lines, strict=True)]
    assert sum(likeness) / len(lines) > 0.9  # it may add a "yesterday"
    made_up = ("zwick", "blorf", "plonter", "drem", "wuggled", "frimp")
    assert sum(word in " ".join(echoes) for word in made_up) >= 4


def test_asked_to_correct_it_scores_below_copying_the_input(base):
    examples = generate("test", 100, seed=99).examples
    asked = [prompts.render(Prompt(), example.source) for example in examples]
    outputs = [prompts.hypothesis(output.text) for (output,) in decode(base, asked, Decoding())]
    references = [example.reference for example in examples]
    copying = metrics.bleu.corpus([example.source for example in examples], references).value
    assert metrics.bleu.corpus(outputs, references).value < copying - 10
