"""Packed batches: values and gradients are those of the padded ones, and nothing is computed that is not needed."""

from __future__ import annotations

import copy

import factories
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)
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
SMALL = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
         "max_position_embeddings": 64}  # fmt: skip
GATED = SMALL | {"intermediate_size": 24, "num_key_value_heads": 2}
MODELS = {
    "llama": LlamaConfig(**GATED),
    "mistral": MistralConfig(**GATED, sliding_window=None),
    "qwen2": Qwen2Config(**GATED),
    "qwen3": Qwen3Config(**GATED, head_dim=4),
    "gpt2": GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0,
                       embd_pdrop=0.0, attn_pdrop=0.0),
    "gpt_neox": GPTNeoXConfig(**SMALL, intermediate_size=24),
    "opt": OPTConfig(**SMALL, ffn_dim=24, word_embed_proj_dim=16, dropout=0.0),
}  # fmt: skip
LEARNED = ("gpt2", "opt")  # positions; OPT takes them from its mask, if it is told none


def test_all_types_that_are_packed_are_tried():
    assert set(MODELS) == set(packed.TYPES)


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
    if side != "right" and model.config.model_type in LEARNED:
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


@pytest.mark.parametrize("limit", [4, 6, 512])
@pytest.mark.parametrize("cheap", [0.0, 0.05, 12])
def test_lines_are_as_many_as_cost_least_and_hold_the_same_values(model, monkeypatch, limit, cheap):
    monkeypatch.setattr(packed, "LENGTH", limit)
    monkeypatch.setattr(packed, "ATTENTION", cheap)
    rows = [(A, Z), (A, X), (A, [18, 19, 12]), (B, Z), (C, Y), (C, [13, 13])]
    inputs = batch(rows)
    wanted, found = (results(model, inputs, monkeypatch, on)[0].log_probs for on in (False, True))
    assert torch.allclose(wanted, found, atol=2e-5)


def test_where_attention_costs_most_lines_are_short_and_where_it_costs_nothing_there_is_one(monkeypatch):
    pieces = [packed._Piece(tuple(range(length)), [()]) for length in (9, 7, 6, 5, 4, 4)]
    assert [len(packed._spread(pieces, width)) for width in (0, 10**6)] == [1, 1]
    monkeypatch.setattr(packed, "ATTENTION", 0)
    short = packed._spread(pieces, 1)
    lengths = [sum(piece.length for piece in line) for line in short]
    assert len(short) > 2
    assert sorted(piece.length for line in short for piece in line) == [4, 4, 5, 6, 7, 9]
    assert len(lengths) * max(lengths) ** 2 < 35**2


def test_what_would_save_nothing_is_not_packed(monkeypatch):
    alike = batch([([3, 4], [5, 6]), ([7, 8], [9, 10])])
    assert packed.pack(**alike, width=1000)  # the last token of each is left out
    monkeypatch.setattr(packed, "ATTENTION", 0)
    assert packed.pack(**alike, width=1) is not None
    monkeypatch.setattr(packed, "_cost", lambda lines, width: 1e9)
    assert packed.pack(**alike, width=1) is None


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


def of(config, **changes):
    attention = changes.pop("attention", "sdpa")
    made = AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation=attention)
    for name, value in changes.items():
        setattr(made.config, name, value)
    return made


@pytest.mark.parametrize(
    ("changes", "training", "possible"),
    [
        ({}, True, True),
        ({"attention": "eager"}, False, False),  # adds its mask to the scores
        ({"_attn_implementation": "flash_attention_2"}, False, False),
        ({"model_type": "lfm2"}, False, False),  # mixes neighbours in other ways than by attention
        ({"sliding_window": 8}, False, False),  # which a mask of our own would lift
        ({"sliding_window": 8, "use_sliding_window": False}, False, True),
        ({"attention_dropout": 0.1}, True, False),
        ({"attention_dropout": 0.1}, False, True),
    ],
)
def test_who_would_compute_it_otherwise_is_left_alone(changes, training, possible):
    assert packed.possible(of(MODELS["llama"], **changes).train(training)) == possible


def test_a_model_that_drops_at_random_is_left_alone_while_it_does():
    made = of(GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=4, n_positions=64))
    assert [packed.possible(made.train(on)) for on in (True, False)] == [False, True]


def test_the_gradient_of_many_rows_with_one_beginning_is_the_same_every_time():
    torch.manual_seed(0)
    wide = LlamaConfig(vocab_size=300, hidden_size=256, intermediate_size=64, num_hidden_layers=1,
                       num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=64)  # fmt: skip
    made = of(wide)
    add_fused_lm_head(made)
    lm_head.use_plain_head(made)
    rows = [(A, torch.randint(3, 300, (5,)).tolist()) for _ in range(96)]

    def gradient() -> torch.Tensor:
        made.zero_grad()
        made(**batch(rows), fused_lm_head=True).loss.backward()
        return made.model.layers[0].mlp.up_proj.weight.grad.clone()

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = gradient()
        assert all(torch.equal(first, gradient()) for _ in range(5))
    finally:
        torch.set_num_threads(threads)


def test_with_adapters_rows_are_packed_too(monkeypatch):
    made = of(MODELS["llama"])
    add_fused_lm_head(made)
    adapted = get_peft_model(made, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"]))
    lm_head.use_plain_head(adapted.get_base_model())
    calls, pack = [], packed.pack
    monkeypatch.setattr(packed, "pack", lambda *arguments: calls.append(1) or pack(*arguments))
    found = adapted(**batch([(A, X), (A, Z)]), fused_lm_head=True).log_probs
    assert calls == [1]
    monkeypatch.setattr(packed, "possible", lambda _: False)
    assert torch.allclose(found, adapted(**batch([(A, X), (A, Z)]), fused_lm_head=True).log_probs, atol=1e-5)


def test_a_model_that_scales_its_logits_keeps_the_head_that_knows():
    scaled = GraniteConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                           num_attention_heads=4, num_key_value_heads=4, logits_scaling=5.0)  # fmt: skip
    made = of(scaled).eval()
    add_fused_lm_head(made)
    lm_head.use_plain_head(made)
    inputs = batch([(A, X)])
    found = made(**inputs, fused_lm_head=True).log_probs[0, len(A) - 1 :]
    logits = made(inputs["input_ids"]).logits[0, len(A) - 1 : -1]
    wanted = torch.log_softmax(logits, dim=-1).gather(-1, torch.tensor(X)[:, None])[:, 0]
    assert torch.allclose(found, wanted, atol=1e-5)


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
    needed = int(inputs["attention_mask"].sum()) - 6 - (6 - firsts)
    ((lines, length),) = shapes
    assert needed <= lines * length < 1.1 * needed < inputs["input_ids"].numel()
