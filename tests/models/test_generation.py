"""Writing a batch: the same as Transformers' `generate` when greedy, the model's own distribution when sampled."""

from __future__ import annotations

import copy

import factories
import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config, Lfm2Config

from gecalign.config import Decoding
from gecalign.models import generation, loading

GREEDY = Decoding(max_new_tokens=20)
ONE = ((0,),)  # one completion, and the number that its draws depend on


@pytest.fixture(scope="module")
def loaded():
    return loading.load(loading.TINY_BASE)


@pytest.fixture(scope="module")
def asked(loaded):
    texts = [f"Fix: {source}\nFixed:" for source, _ in factories.pairs(12)]
    return loaded[1](texts)["input_ids"]


def written(loaded, asked, config: Decoding, keys) -> list[list[list[int]]]:
    model, tokenizer = loaded
    model.eval()
    with torch.no_grad():
        return generation.generate(model, asked, config, tokenizer.eos_token_id, keys)


def keys(texts: int, samples: int = 1, seed: int = 0) -> list[list[tuple[int, ...]]]:
    return [[(seed, text, sample) for sample in range(samples)] for text in range(texts)]


def by_transformers(loaded, asked, limit: int) -> list[list[int]]:
    model, tokenizer = loaded
    inputs = tokenizer.pad({"input_ids": asked}, padding_side="left", return_tensors="pt")
    how = GenerationConfig(
        max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
    )
    with torch.no_grad():
        rows = model.generate(**inputs, generation_config=how)[:, inputs["input_ids"].shape[1] :].tolist()
    end = tokenizer.eos_token_id
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def test_greedy_tokens_are_those_of_transformers(loaded, asked):
    found = [tokens for (tokens,) in written(loaded, asked, GREEDY, keys(12))]
    assert found == by_transformers(loaded, asked, 20)
    assert len(set(map(len, found))) > 2  # rows have left at different times


OTHERS = {
    "learned positions": GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=128),
    "a short memory beside attention": Lfm2Config(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        layer_types=["conv", "full_attention"], max_position_embeddings=128,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_greedy_tokens_of_other_models_are_those_of_transformers_too(loaded, asked, name):
    torch.manual_seed(2)
    config = copy.deepcopy(OTHERS[name])
    config.vocab_size, config.pad_token_id = len(loaded[1]), loaded[1].pad_token_id
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    other = (model, loaded[1])
    found = written(other, asked, GREEDY, keys(12))
    assert [tokens for (tokens,) in found] == by_transformers(other, asked, 20)
    written(other, asked, Decoding(temperature=1.0, max_new_tokens=5), keys(12, samples=3))


@pytest.mark.parametrize("leave", [0.01, 0.5, 2.0])
def test_when_rows_leave_the_batch_changes_nothing(loaded, asked, monkeypatch, leave):
    sampling = Decoding(temperature=1.0, max_new_tokens=20)
    expected = [written(loaded, asked, how, keys(12)) for how in (GREEDY, sampling)]
    monkeypatch.setattr(generation, "LEAVE", leave)
    assert [written(loaded, asked, how, keys(12)) for how in (GREEDY, sampling)] == expected


def test_finished_rows_are_not_computed_any_more_and_a_prompt_is_read_once(loaded, asked):
    model, _ = loaded
    seen: list[tuple[int, int]] = []
    hook = model.base_model.register_forward_pre_hook(
        lambda *arguments: seen.append(tuple(arguments[-1]["input_ids"].shape)), with_kwargs=True
    )
    try:
        found = written(loaded, asked, Decoding(temperature=1.0, max_new_tokens=20), keys(12, samples=4))
    finally:
        hook.remove()
    assert seen[0] == (12, max(map(len, asked)))
    assert all(tokens == 1 for _, tokens in seen[1:])
    assert seen[1][0] == 48 > seen[-1][0]
    lengths = [len(tokens) for group in found for tokens in group]
    for turn, (rows, _) in enumerate(seen[1:], start=1):
        busy = sum(length > turn for length in lengths)
        assert busy <= rows < busy / (1 - generation.LEAVE) + 1


def test_a_sample_does_not_depend_on_the_others_in_its_batch(loaded, asked):
    sampling = Decoding(temperature=1.0, max_new_tokens=20)
    everything = written(loaded, asked, sampling, keys(12, samples=3))
    alone = [
        [written(loaded, [ids], sampling, [[(0, text, sample)]])[0][0] for sample in range(3)]
        for text, ids in enumerate(asked[:4])
    ]
    assert everything[:4] == alone
    assert len({tuple(tokens) for group in everything for tokens in group}) > 12


def test_equal_keys_draw_equal_samples_and_others_do_not(loaded, asked):
    sampling = Decoding(temperature=1.0, max_new_tokens=20)
    (same, again, other), *_ = written(loaded, asked[:1], sampling, [[(1, 2), (1, 2), (1, 3)]])
    assert same == again != other


def probabilities(loaded, ids, config: Decoding) -> np.ndarray:
    """Return the distribution of the first token, by hand."""
    with torch.no_grad():
        logits = loaded[0](torch.tensor([ids])).logits[0, -1].double() / config.temperature
    shares = logits.softmax(dim=-1).numpy()
    order = np.argsort(-shares)
    kept = order[np.cumsum(shares[order]) - shares[order] < config.top_p]
    cut = np.zeros_like(shares)
    cut[kept] = shares[kept]
    return cut / cut.sum()


@pytest.mark.parametrize("changes", [{"temperature": 1.0}, {"temperature": 0.6}, {"temperature": 1.2, "top_p": 0.8}])
def test_first_tokens_are_drawn_as_often_as_the_model_says(loaded, asked, changes):
    config, count = Decoding(max_new_tokens=1, **changes), 20_000
    expected = probabilities(loaded, asked[0], config)
    draws = [[(7, number) for number in range(count)]]
    (found,) = written(loaded, asked[:1], config, draws)
    counts = np.bincount([tokens[0] for tokens in found], minlength=len(expected))
    assert counts[expected == 0].sum() == 0
    often = expected * count >= 5
    observed = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum()) * count
    assert len(observed) > 3
    assert stats.chisquare(observed[wanted > 0], wanted[wanted > 0]).pvalue > 1e-3


def test_second_tokens_are_drawn_by_what_was_written_first(loaded, asked):
    config, count = Decoding(temperature=1.3, max_new_tokens=2), 20_000
    (found,) = written(loaded, asked[:1], config, [[(3, number) for number in range(count)]])
    first = int(np.bincount([tokens[0] for tokens in found]).argmax())
    followers = [tokens[1] for tokens in found if tokens[0] == first and len(tokens) > 1]
    expected = probabilities(loaded, [*asked[0], first], config) * len(followers)
    counts = np.bincount(followers, minlength=len(expected))
    often = expected >= 5
    observed, wanted = (np.append(x[often], x[~often].sum()) for x in (counts, expected))
    assert len(observed) > 3
    assert stats.chisquare(observed, wanted).pvalue > 1e-3


def test_the_ends_of_the_draws_are_tokens_that_have_a_probability():
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]).repeat(2, 1)
    found = generation._drawn(logits, Decoding(temperature=1.0), np.array([1e-300, 1.0]))
    assert found.tolist() == [1, 2]


def test_no_draw_is_0_at_which_a_token_without_probability_would_be_reached(monkeypatch):
    class Zeros:
        def random(self, count: int) -> np.ndarray:
            return np.zeros(count)

    monkeypatch.setattr(np.random, "default_rng", lambda _: Zeros())
    assert generation._draws([(1,)], Decoding(temperature=1.0, max_new_tokens=3)).tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_no_probabilities(broken):
    with pytest.raises(RuntimeError, match="no finite numbers"):
        generation._drawn(torch.tensor([[0.0, broken]]), Decoding(temperature=1.0), np.array([0.5]))
