"""Packed batches: values and gradients are those of the padded ones, and nothing is computed that is not needed."""

from __future__ import annotations

import copy

import factories
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config
from trl.trainer.utils import add_fused_lm_head

from gecalign.models import lm_head, loading, packed

A, B, C = [3, 4, 5], [6, 7], [8, 9, 10, 11]  # beginnings
X, Y, Z = [12, 13], [14], [12, 15, 16, 17]  # what follows


def batch(rows: list[tuple[list[int], list[int]]], side: str = "right") -> dict[str, torch.Tensor]:
    """Return rows of a beginning and what is predicted, padded on one side, or as GRPO does, on both."""
    length = max(len(a) + len(b) for a, b in rows)
    middle = max(len(a) for a, _ in rows)
    width = middle + max(len(b) for _, b in rows) if side == "both" else length
    ids, mask, labels = (torch.full((len(rows), width), fill) for fill in (0, 0, -100))
    for row, (beginning, rest) in enumerate(rows):
        whole = len(beginning) + len(rest)
        start = {"right": 0, "left": width - whole, "both": middle - len(beginning)}[side]
        ids[row, start : start + whole] = torch.tensor(beginning + rest)
        mask[row, start : start + whole] = 1
        labels[row, start + len(beginning) : start + whole] = torch.tensor(rest)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


BATCHES = {
    "of one row": [(A, X)],
    "unequal": [(A, X), (B, Z), (C, Y)],
    "one beginning": [(A, X), (A, Y), (A, Z)],
    "two beginnings, mixed": [(A, X), (B, X), (A, Z), (B, Y)],
    "the same twice": [(A, X), (A, X), (B, Z)],
    "the same but for the last token": [(A, [12, 13, 14]), (A, [12, 13, 15])],
    "a row without a label": [(A, X), (B, []), (A, Y)],
    "one token of a beginning": [([3], Z), ([3], X), ([4], Y)],
}
MODELS = {
    "llama": LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    ),
    "qwen2": Qwen2Config(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    ),
    "gpt2": GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0,
                       embd_pdrop=0.0, attn_pdrop=0.0),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(1)
    made = AutoModelForCausalLM.from_config(MODELS[request.param], attn_implementation="sdpa")
    for weight in made.parameters():  # large, or nothing would show
        torch.nn.init.normal_(weight, std=0.3)
    add_fused_lm_head(made)
    lm_head.use_plain_head(made)
    return made


def results(model, inputs, monkeypatch, allowed: bool):
    with monkeypatch.context() as patch:
        if not allowed:
            patch.setattr(packed, "possible", lambda _: False)
        model.zero_grad()
        output = model(**inputs, fused_lm_head=True)
        (output.log_probs * torch.linspace(0.5, 2, output.log_probs.shape[1])).sum().backward()
    return output, {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("name", BATCHES)
def test_values_and_gradients_are_those_of_the_padded_batch(model, monkeypatch, name, side):
    inputs = batch(BATCHES[name], side)
    if side != "right" and model.config.model_type == "gpt2":
        # told no positions, it counts padding: what was packed is what the same row gives without any
        wanted = results(model, batch(BATCHES[name]), monkeypatch, True)[0].log_probs
        found = results(model, inputs, monkeypatch, True)[0].log_probs
        assert torch.allclose(wanted[wanted != 0], found[found != 0], atol=2e-5)
        return
    (wanted, by_padded), (found, by_packed) = (results(model, inputs, monkeypatch, on) for on in (False, True))
    for field in ("loss", "log_probs", "entropy", "mean_logits", "is_top1", "label_mask"):
        one, other = getattr(wanted, field), getattr(found, field)
        assert one.shape == other.shape
        assert torch.allclose(one.float(), other.float(), atol=2e-5), field
    assert wanted.log_probs.abs().sum() > 0
    for weight, gradient in by_padded.items():
        assert torch.allclose(gradient, by_packed[weight], atol=1e-4, rtol=1e-4), weight


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("unequal", 3 + 1 + 2 + 3 + 4),  # of each row all but the last
        ("one beginning", 3 + 1 + 0 + 3),
        ("two beginnings, mixed", 3 + 1 + 3 + 2 + 1 + 0),
        ("the same twice", 3 + 1 + 2 + 3),
        ("the same but for the last token", 3 + 2),
        ("a row without a label", 3 + 1 + 0),
    ],
)
def test_only_what_is_needed_is_computed(name, tokens):
    made = packed.pack(**batch(BATCHES[name]))
    assert made.inputs["input_ids"].shape == (1, tokens)


@pytest.mark.parametrize("limit", [4, 6, 9])
def test_lines_are_filled_evenly_and_stay_the_same_values(model, monkeypatch, limit):
    monkeypatch.setattr(packed, "LENGTH", limit)
    rows = [(A, Z), (A, X), (A, [18, 19, 12]), (B, Z), (C, Y), (C, [13, 13])]
    inputs = batch(rows)
    lines = packed.pack(**inputs).inputs["input_ids"].shape
    assert lines[0] > 1
    wanted, found = (results(model, inputs, monkeypatch, on)[0].log_probs for on in (False, True))
    assert torch.allclose(wanted, found, atol=2e-5)


def test_a_token_sees_its_own_row_up_to_itself_and_nothing_else():
    made = packed.pack(**batch([(A, X), (A, Z), (B, X)])).inputs
    ids, mask = made["input_ids"][0].tolist(), made["attention_mask"][0, 0]
    seen = {at: [ids[other] for other in range(len(ids)) if mask[at, other]] for at in range(len(ids))}
    rows = [seen[at] for at in range(len(ids))]
    for whole in (A + X[:-1], A + Z[:-1], B + X[:-1]):
        for end in range(1, len(whole) + 1):
            assert whole[:end] in rows
    assert made["position_ids"][0].tolist() == [len(row) - 1 for row in rows]


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_padding_would_predict_and_what_predicts_nothing_is_not_packed(side):
    nothing = batch([(A, []), (B, [])], side)
    assert packed.pack(**nothing) is None
    everything = batch([([], A), ([], B)], side)  # the first token is predicted by padding, if on the left
    assert (packed.pack(**everything) is None) == (side == "left")
    of_padding = batch([(A, X), (B, Y)], side)
    of_padding["labels"][1, 0 if side == "left" else -1] = 5
    if side == "right":
        assert packed.pack(**of_padding) is None


def test_a_model_that_takes_no_mask_or_no_positions_is_left_alone(monkeypatch):
    made = AutoModelForCausalLM.from_config(MODELS["llama"], attn_implementation="sdpa")
    assert packed.possible(made)
    made.config._attn_implementation = "flash_attention_2"
    assert not packed.possible(made)
    monkeypatch.setattr(made.base_model, "forward", lambda input_ids, attention_mask: None)
    made.config._attn_implementation = "sdpa"
    assert not packed.possible(made)


def test_methods_are_given_packed_batches(monkeypatch):
    made, tokenizer = loading.load(loading.TINY_BASE)
    model = copy.deepcopy(made)
    add_fused_lm_head(model)
    lm_head.use_plain_head(model)
    shapes = []
    model.base_model.register_forward_pre_hook(
        lambda *arguments: shapes.append(tuple(arguments[-1]["input_ids"].shape)), with_kwargs=True
    )
    texts = [f"{source} {reference}" for source, reference in factories.pairs(6)]
    inputs = dict(tokenizer(texts, padding=True, padding_side="right", return_tensors="pt"))
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    model(**inputs, labels=labels, fused_lm_head=True)
    firsts = len(set(inputs["input_ids"][:, 0].tolist()))  # equal ones are computed once
    assert shapes == [(1, int(inputs["attention_mask"].sum()) - 6 - (6 - firsts))]
