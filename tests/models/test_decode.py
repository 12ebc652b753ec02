import copy
import random

import factories
import pytest
import torch

from gecalign.config import Decoding, Engine
from gecalign.models import loading
from gecalign.models.decode import decode

GREEDY = Decoding(max_new_tokens=12)
SAMPLING = Decoding(temperature=1.0, samples=3, max_new_tokens=12)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return loading.load(factories.base_folder(tmp_path_factory.mktemp("decode") / "base"))


def prompts(count: int) -> list[str]:
    """Return prompts of very different lengths, in no order."""
    rng = random.Random(1)
    return [
        f"Fix: {' '.join(rng.choices(['she', 'go', 'home', 'now'], k=rng.randint(1, 30)))}\n->" for _ in range(count)
    ]


def by_hand(model, tokenizer, prompt: str, limit: int) -> list[int]:
    """Return the greedy continuation, one full forward pass a token: no cache, no padding, no `generate`."""
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    while len(ids) - start < limit:
        with torch.no_grad():
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
        if ids[-1] == tokenizer.eos_token_id:
            break
    return ids[start:]


@pytest.mark.parametrize("batch_tokens", [1, 100, 32_768])
def test_greedy_outputs_are_those_of_each_prompt_alone_and_in_order(loaded, batch_tokens):
    # left padding, length sorting and batching must not show
    asked = prompts(17)
    outputs = decode(loaded, asked, Decoding(max_new_tokens=12, batch_tokens=batch_tokens))
    for prompt, (output,) in zip(asked, outputs, strict=True):
        ids = by_hand(*loaded, prompt, 12)
        assert output.text == loaded[1].decode(ids, skip_special_tokens=True)
        assert output.tokens == len(ids)
    assert len({output.text for (output,) in outputs}) > 5  # or the order would not show


def test_every_prompt_gets_its_number_of_samples_and_they_differ(loaded):
    outputs = decode(loaded, prompts(5), SAMPLING)
    assert [len(samples) for samples in outputs] == [3] * 5
    assert all(len({sample.text for sample in samples}) > 1 for samples in outputs)


def test_samples_belong_to_their_own_prompt(loaded):
    # at a temperature of almost zero every sample is the greedy output of its prompt
    asked = prompts(7)
    greedy = decode(loaded, asked, GREEDY)
    cold = decode(loaded, asked, Decoding(temperature=1e-4, samples=3, max_new_tokens=12))
    assert cold == [output * 3 for output in greedy]


def test_the_same_seed_samples_the_same_and_another_does_not(loaded):
    first, again, other = (decode(loaded, prompts(4), SAMPLING, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_the_same_prompt_at_another_place_draws_other_samples(loaded):
    first, second = decode(loaded, prompts(1) * 2, Decoding(temperature=1.0, samples=4, max_new_tokens=12))
    assert first != second


@pytest.mark.parametrize("config", [GREEDY, SAMPLING])
def test_decoding_leaves_the_random_state_of_the_caller_alone(loaded, config):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    decode(loaded, prompts(3), config, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_of_the_caller_does_not_reach_the_samples(loaded):
    torch.manual_seed(1)
    first = decode(loaded, prompts(3), SAMPLING, seed=9)
    torch.manual_seed(2)
    assert decode(loaded, prompts(3), SAMPLING, seed=9) == first


@pytest.fixture
def stops_after(loaded):
    """Return a model that writes `count` ordinary tokens and then EOS, whatever it is asked."""
    tokenizer = loaded[1]
    made = copy.deepcopy(loaded[0])

    def make(prompt_length: int, count: int):
        def forward(module, arguments, keywords, output):
            position = int(keywords["position_ids"].max())  # of the last token that was read
            following = tokenizer.eos_token_id if position + 1 >= prompt_length + count else 100
            output.logits[:] = -10.0
            output.logits[..., following] = 10.0
            return output

        made.register_forward_hook(forward, with_kwargs=True)
        return made

    return make


@pytest.mark.parametrize(
    ("count", "tokens", "truncated"),
    [(0, 1, False), (3, 4, False), (4, 5, False), (5, 5, True), (9, 5, True)],
)
def test_truncated_says_exactly_that_no_eos_came_within_the_limit(loaded, stops_after, count, tokens, truncated):
    tokenizer = loaded[1]
    prompt = "Fix: she go"
    model = stops_after(len(tokenizer(prompt)["input_ids"]), count)
    ((output,),) = decode((model, tokenizer), [prompt], Decoding(max_new_tokens=5))
    assert (output.tokens, output.truncated) == (tokens, truncated)
    assert output.text == tokenizer.decode([100] * min(count, 5))


@pytest.mark.parametrize("room", [0, 1])
def test_a_prompt_fits_exactly_or_is_refused_with_what_to_do(loaded, room):
    model, tokenizer = loaded
    prompt = "Fix: " + "x" * 60
    length = len(tokenizer(prompt)["input_ids"])
    config = Decoding(max_new_tokens=model.config.max_position_embeddings - length + (1 - room))
    if room:
        assert len(decode((model, tokenizer), [prompt], config)) == 1
        return
    with pytest.raises(ValueError, match=rf"longest prompt has {length} tokens.*context of 256.*one sentence a line"):
        decode((model, tokenizer), ["short", prompt], config)


def test_no_prompts_give_no_outputs(loaded):
    assert decode(loaded, [], GREEDY) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(loaded, training):
    model, tokenizer = loaded
    model.train(training)
    decode((model, tokenizer), prompts(2), GREEDY)
    assert model.training is training
    model.eval()


def test_the_mode_is_restored_after_an_error_too(loaded, monkeypatch):
    model, tokenizer = loaded
    model.train()
    monkeypatch.setattr(model, "forward", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decode((model, tokenizer), prompts(2), GREEDY)
    assert model.training
    model.eval()


def test_several_samples_without_sampling_are_refused(loaded):
    with pytest.raises(ValueError, match="all 2 samples would be the same"):
        decode(loaded, prompts(2), Decoding(samples=2))


def test_weights_are_converted_to_16_bits_once_and_not_for_every_token(loaded):
    model, tokenizer = loaded

    def conversions(tokens: int) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
            decode((model, tokenizer), prompts(2), Decoding(max_new_tokens=tokens), engine=Engine(precision="bf16"))
        shapes = {tuple(weight.shape) for weight in model.parameters() if weight.ndim == 2}
        events = profile.key_averages(group_by_input_shape=True)
        return sum(e.count for e in events if e.key == "aten::_to_copy" and tuple(e.input_shapes[0]) in shapes)

    assert 0 < conversions(2) == conversions(9)
