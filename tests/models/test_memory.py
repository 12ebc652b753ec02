"""Memory: the formulas against what autograd keeps and what a whole training step holds at its peak."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import factories
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, GPT2Config, LlamaConfig, LlamaForCausalLM
from trl.kernels import chunked_logprob
from trl.trainer.utils import add_fused_lm_head

from gecalign import config
from gecalign.models import memory
from gecalign.models.memory import KNOWN, Rows, Shape, Training

NARROW = Shape(3, 576, 9, 3, 64, 1536, 512, True, 2048)  # SmolLM-135M with few layers and words
SMOLLM = KNOWN["HuggingFaceTB/SmolLM-135M"]
GB = 10**9


def llama(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        intermediate_size=shape.intermediate, tie_word_embeddings=shape.tied, max_position_embeddings=shape.context,
    )  # fmt: skip


def batch(shape: Shape, rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and a mask with some padding, as batches have it."""
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[0, :3] = 0
    return torch.randint(shape.vocabulary, (rows, length)), mask


def autocast(precision: str):
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and keeps the most."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = storage.nbytes()
            self.peak = max(self.peak, sum(self.sizes.values()))
            weakref.finalize(storage, self.sizes.pop, storage._cdata)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result


# ---- sizes of models


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("HuggingFaceTB/SmolLM-135M", 134_515_008),
        ("HuggingFaceTB/SmolLM-360M", 361_821_120),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
    ],
)
def test_the_known_models_have_the_parameters_that_they_are_known_to_have(name, parameters):
    shape = KNOWN[name]
    with torch.device("meta"):
        model = LlamaForCausalLM(llama(shape))
    assert shape.parameters == parameters == model.num_parameters()
    matrices = sum(p.numel() for n, p in model.named_parameters() if "layers" in n and p.ndim == 2)
    assert shape.matrices == matrices


def test_adapters_of_llama_have_eleven_million_parameters():
    assert KNOWN["meta-llama/Llama-3.2-1B"].adapters(16) == 11_272_192  # as PEFT counts for all linear layers


def test_sizes_are_read_from_a_folder_and_need_no_weights(tmp_path):
    shape = Shape(2, 32, 4, 2, 16, 48, 100, False, 64)
    llama(shape).save_pretrained(tmp_path)
    assert memory.shape(config.Model(str(tmp_path))) == shape


def test_sizes_of_the_shipped_base_are_those_of_its_weights():
    from gecalign.models import loading

    model, _ = loading.load(config.Model())
    assert memory.shape(config.Model()).parameters == model.num_parameters()


def test_profiles_of_hub_models_are_planned_without_the_hub(monkeypatch):
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **__: pytest.fail("asked the hub"))
    for profile in config.PROFILES.values():
        if profile.model.name != "tiny-base":
            assert memory.shape(profile.model).parameters > 10**8


def test_other_names_for_sizes_are_understood_and_a_missing_configuration_explained(tmp_path):
    GPT2Config(
        n_embd=32, n_head=4, n_layer=3, vocab_size=50, n_positions=64, bos_token_id=0, eos_token_id=0
    ).save_pretrained(tmp_path)
    found = memory.shape(config.Model(str(tmp_path)))
    assert (found.layers, found.hidden, found.kv_heads, found.head_dim, found.intermediate) == (3, 32, 4, 8, 128)
    with pytest.raises(ValueError, match=r"(?s)nobody/nothing.*could not be read.*known without it: smollm2, "):
        memory.shape(config.Model("nobody/nothing", "0" * 40))


# ---- what a training holds


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("rows", "length"), [(2, 100), (1, 300)])
def test_what_autograd_keeps_is_what_the_formula_says(precision, rows, length):
    model = LlamaForCausalLM(llama(NARROW)).model
    kept = {p.untyped_storage().data_ptr(): None for p in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in kept:
            saved[place] = tensor
        return tensor

    ids, mask = batch(NARROW, rows, length)
    with autocast(precision), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(ids, mask, use_cache=False)
    counted = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    how = Training(precision)
    estimate = memory.activations(NARROW, how, rows, length) + memory.copies(NARROW, how)
    assert output.last_hidden_state.requires_grad
    assert 0.98 < estimate / counted < 1.1


@pytest.mark.parametrize(
    ("shape", "precision", "checkpointing", "rows", "length"),
    [
        (NARROW, "fp32", False, 4, 100),
        (NARROW, "bf16", False, 4, 100),
        (NARROW, "bf16", True, 4, 100),
        pytest.param(SMOLLM, "bf16", False, 16, 512, marks=pytest.mark.slow),
        pytest.param(SMOLLM, "bf16", True, 16, 512, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("accelerator", [False, True])
def test_the_peak_of_whole_updates_is_what_the_formula_says(
    shape, precision, checkpointing, rows, length, accelerator, monkeypatch
):
    """Tensors without data: the real code runs at full size, and takes no memory."""
    if accelerator:  # as on a GPU, where the kernels work in place
        monkeypatch.setattr(chunked_logprob, "_forward_tile", lambda *_, **__: None)
        monkeypatch.setattr(chunked_logprob, "_backward_tile", lambda *_, **__: None)
        monkeypatch.setattr(chunked_logprob, "_addmm_fp32", lambda *_: None)
    live = Live()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = LlamaForCausalLM(llama(shape))
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        (ids, mask) = batch(shape, rows, length)
        for parameter in model.parameters():
            live.add(parameter)
        with live:
            for _ in range(2):  # two micro-batches an update: gradients are there in the second, moments in the next
                for _ in range(2):
                    with autocast(precision):
                        loss = _loss(model, ids, mask, fused=accelerator)
                    loss.backward()
                    del loss
                optimizer.step()
                optimizer.zero_grad()
    how = Training(precision, accelerator, checkpointing)
    estimate = memory.weights(shape) + memory.step(shape, how, rows, length)
    assert 0.97 < estimate / live.peak < 1.15


def _loss(model, ids: torch.Tensor, mask: torch.Tensor, fused: bool) -> torch.Tensor:
    if fused:
        return model(ids, attention_mask=mask, labels=ids, fused_lm_head=True).loss
    # what `gecalign.models.lm_head` does, but for choosing positions, which tensors without data cannot
    hidden = model.model(ids, mask, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)).float() / 1.0
    every = torch.log_softmax(logits, dim=-1)
    chosen = every.gather(-1, ids.flatten().unsqueeze(-1))
    with torch.no_grad():
        -(every.exp() * every).sum(dim=-1)
    return -chosen.sum()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_of_writing_is_no_more_than_the_formula_says(precision):
    rows, prompt, new = 64, 8, 120
    model = LlamaForCausalLM(llama(NARROW))
    ids, _ = batch(NARROW, rows, prompt)
    live = Live()
    live.sizes.update({p.untyped_storage()._cdata: 0 for p in model.parameters()})
    with torch.no_grad(), autocast(precision), live:
        model.generate(ids, attention_mask=torch.ones_like(ids), min_new_tokens=new, max_new_tokens=new,
                       do_sample=True, top_k=0, top_p=0.9, pad_token_id=0)  # fmt: skip
    estimate = memory.generation(NARROW, Training(precision), rows, prompt, new)
    assert 1 < estimate / live.peak < 1.6


def test_adapters_spare_gradients_and_moments_and_several_processes_take_more():
    whole, adapted = memory.state(SMOLLM, Training()), memory.state(SMOLLM, Training(lora_rank=16))
    assert whole == 3 * 4 * SMOLLM.parameters
    assert adapted == 3 * 4 * SMOLLM.adapters(16)
    assert memory.state(SMOLLM, Training(processes=2)) == 4 * 4 * SMOLLM.parameters


def test_a_frozen_model_costs_a_copy_in_16_bits_only():
    looking_on = [memory.step(SMOLLM, Training(p, frozen=1), 1, 9) - memory.step(SMOLLM, Training(p), 1, 9)
                  for p in ("fp32", "fp16")]  # fmt: skip
    assert looking_on == [0, 2 * SMOLLM.matrices]


# ---- how many rows fit


def test_the_micro_batch_is_the_largest_divisor_that_fits():
    how = Training("bf16", accelerator=True)
    needed = {rows: memory.step(SMOLLM, how, rows, 512) / (1 - memory.MARGIN) for rows in (1, 2, 3, 4, 6, 12)}
    for rows, least in needed.items():
        assert memory.micro_batch(12, Rows(512), SMOLLM, int(least) + 1, how) == rows
    assert memory.micro_batch(12, Rows(512), SMOLLM, int(needed[12]) - 1, how) == 6


def test_texts_of_a_pair_count_twice_and_positions_without_loss_less():
    how = Training()
    free = int(memory.step(SMOLLM, how, 8, 512) / (1 - memory.MARGIN)) + 1
    assert memory.micro_batch(8, Rows(512), SMOLLM, free, how) == 8
    assert memory.micro_batch(8, Rows(512, texts=2), SMOLLM, free, how) == 4
    assert memory.micro_batch(10, Rows(512), SMOLLM, free, how) == 5
    assert memory.micro_batch(10, Rows(512, scored=100), SMOLLM, free, how) == 10


def test_where_nothing_fits_the_ways_out_are_named():
    with pytest.raises(ValueError, match=r"512 tokens.*gradient_checkpointing=true.*lora\.rank.*or a GPU"):
        memory.micro_batch(8, Rows(512), SMOLLM, GB, Training("bf16", True))
    with pytest.raises(ValueError, match=r"not even one row") as stated:
        memory.micro_batch(8, Rows(512), SMOLLM, GB // 10, Training("bf16", True, checkpointing=True, lora_rank=8))
    assert "checkpointing" not in str(stated.value)
    assert "lora.rank" not in str(stated.value)


def test_the_tiny_profile_never_divides_its_batches():
    """Its results depend on that to the last bit."""
    tiny, shape = config.TINY, memory.shape(config.Model())
    longest, free = 120, int(1.1 * GB)
    assert memory.micro_batch(tiny.sft.batch_size, Rows(tiny.sft.max_length), shape, free, Training()) == 64
    assert memory.micro_batch(tiny.dpo.batch_size, Rows(longest, texts=2), shape, free, Training()) == 32
    assert memory.micro_batch(tiny.grpo.batch_size, Rows(longest), shape, free, Training(frozen=1)) == 64


def test_free_memory_is_what_the_machine_has_or_what_the_profile_says(monkeypatch):
    import psutil

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    held = psutil.Process().memory_info().rss
    assert memory.free() == pytest.approx(psutil.virtual_memory().available, rel=0.1)
    assert memory.free(config.Engine(memory_gb=20.0)) == pytest.approx(20 * GB - held, abs=GB)
    assert memory.free(config.Engine(memory_gb=0.001)) == 0


def test_on_an_accelerator_freed_blocks_count_and_loaded_models_do_not(monkeypatch):
    monkeypatch.setattr(
        torch, "accelerator",
        SimpleNamespace(
            is_available=lambda: True, memory_allocated=lambda: 2 * GB, memory_reserved=lambda: 5 * GB,
            get_memory_info=lambda: (10 * GB, 16 * GB),
        ),
    )  # fmt: skip
    assert memory.free(config.Engine()) == 13 * GB
    assert memory.free(config.Engine(memory_gb=8.0)) == 6 * GB


def test_sizes_come_from_a_model_in_the_hubs_format(tmp_path):
    base = factories.base_folder(tmp_path / "base")
    assert memory.shape(config.Model(str(base))).vocabulary == 330


def test_sharding_divides_weights_gradients_and_moments_among_processes():
    whole, sharded = Training("bf16", True, processes=4), Training("bf16", True, processes=4, sharded=True)
    assert memory.kept(SMOLLM, whole) == memory.weights(SMOLLM)
    assert memory.kept(SMOLLM, sharded) == memory.weights(SMOLLM) // 4
    assert memory.state(SMOLLM, sharded) == 3 * memory.FLOAT * SMOLLM.parameters // 4
    assert memory.copies(SMOLLM, sharded) < memory.copies(SMOLLM, whole)


def test_all_weights_of_llama_fit_two_gpus_that_share_them_and_not_one():
    llama, free = (
        memory.KNOWN["meta-llama/Llama-3.2-1B"],
        23 * 10**9 - memory.weights(memory.KNOWN["meta-llama/Llama-3.2-1B"]),
    )
    with pytest.raises(ValueError, match="not even one row"):
        memory.micro_batch(32, Rows(512), llama, free, Training("bf16", True))
    how = Training("bf16", True, processes=2, sharded=True)
    free += memory.weights(llama) - memory.kept(llama, how)
    assert memory.micro_batch(16, Rows(512), llama, free, how) >= 1
