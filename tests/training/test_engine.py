"""What carries a run out: adapters, precision, micro-batches, trackers, vLLM. What is learnt stays the same."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import factories
import pytest
import test_train_dpo
import test_train_grpo
import together
import torch
from methods import DECODING, PROMPT, Interrupted, close, cut_off_after, run, same, unmoved, weights
from safetensors.torch import load_file
from together import sft

from gecalign import prompts
from gecalign.config import Decoding, Engine, LoRA, Pairs, profile
from gecalign.models import loading, memory, saving
from gecalign.models.decode import decode
from gecalign.settings import settings_digest
from gecalign.study import Study
from gecalign.training import arguments, dpo, grpo, sampling, vllm_sampling
from gecalign.training import sft as by_sft
from gecalign.training.rows import demonstrations
from gecalign.training.setup import Asking

ADAPTERS = LoRA(rank=4, alpha=8)


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    sft(base, folder)
    return folder


# ---- low-rank adapters


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("adapted")
    return folder, sft(base, folder, lora=ADAPTERS)


def test_adapters_are_what_is_trained_and_end_in_a_whole_model(base, adapted):
    folder, facts = adapted
    assert facts["trained_parameters"] == memory.shape_of(loading.load(base)[0].config).adapters(ADAPTERS.rank)
    assert not list(folder.rglob("adapter*"))
    moved = set(weights(folder)) - set(unmoved(base, folder))
    assert moved == {name for name in weights(folder) if "proj" in name}


def test_what_adapters_change_is_of_their_rank(base, adapted):
    before, after = load_file(base / "model.safetensors"), weights(adapted[0])
    name = next(name for name in after if "gate_proj" in name)
    assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5) == ADAPTERS.rank


def test_a_training_of_adapters_is_resumed_to_the_same_weights(base, adapted, tmp_path):
    with cut_off_after(6):
        sft(base, tmp_path, lora=ADAPTERS)
    sft(base, tmp_path, lora=ADAPTERS)
    assert same(adapted[0], tmp_path)


def test_the_chosen_checkpoint_is_merged_even_where_training_was_over(base, adapted, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "save", lambda *_: (_ for _ in ()).throw(Interrupted))
    with pytest.raises(Interrupted):
        sft(base, tmp_path, lora=ADAPTERS)
    monkeypatch.undo()
    sft(base, tmp_path, lora=ADAPTERS)
    assert same(adapted[0], tmp_path)


def test_dpo_and_grpo_train_adapters_from_the_reference(base, tmp_path):
    start, (reference, _) = loading.load(base), loading.load(base)
    settings, how = test_train_dpo.SETTINGS, run(tmp_path, lora=ADAPTERS)
    trainer = dpo.trainer(start, reference, test_train_dpo.PAIRS, [], settings, how)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(0.6931, abs=1e-3)  # no preference yet: log 2
    assert sum(p.numel() for p in trainer.model.parameters() if p.requires_grad) == memory.shape_of(
        reference.config
    ).adapters(ADAPTERS.rank)

    start, (reference, _) = loading.load(base), loading.load(base)
    settings = replace(test_train_grpo.SETTINGS, steps=2, evaluations=1)
    (tmp_path / "grpo").mkdir()
    grpo.train(start, reference, test_train_grpo.ROWS, settings, run(tmp_path / "grpo", lora=ADAPTERS))
    assert set(unmoved(base, tmp_path / "grpo")) == {n for n in weights(tmp_path / "grpo") if "proj" not in n}


def test_adapters_beside_sharded_weights_are_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert arguments.adapters(LoRA()) is None
    with pytest.raises(ValueError, match=r"weights are sharded.*use configs/ddp.yaml, or train all weights"):
        arguments.adapters(ADAPTERS)


def test_adapters_make_another_study_and_no_adapters_the_same_as_ever(base, tmp_path):
    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(60))
    plain = factories.local_profile(base, corpus)
    adapted = plain.variant(lora__rank=4)
    assert settings_digest(plain) == settings_digest(plain.variant(lora__alpha=64, engine__report_to="tensorboard"))
    assert settings_digest(plain) != settings_digest(adapted)
    stages = [Study(one, 0, tmp_path / "runs").sft() for one in (plain, adapted)]
    assert "lora" not in stages[0].record["spec"]
    assert stages[1].record["spec"]["lora"]["rank"] == 4
    assert stages[0].folder != stages[1].folder


# ---- precision


@pytest.mark.parametrize(
    ("kind", "native", "expected"), [("cuda", True, "bf16"), ("cuda", False, "fp16"), ("cpu", True, "fp32")]
)
def test_precision_suits_the_device(monkeypatch, kind, native, expected):
    monkeypatch.setattr(loading, "device", lambda: torch.device(kind))
    # an old GPU emulates bf16, slower than it computes in 32 bits
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert loading.precision() == expected
    assert loading.precision(Engine(precision="fp32")) == "fp32"
    with pytest.raises(ValueError, match="engine__precision is 'fp8'; expected auto, bf16, fp16, fp32"):
        loading.precision(Engine(precision="fp8"))


def test_arithmetic_in_16_bits_leaves_weights_in_32(base, tmp_path, whole):
    """On a CPU autocast is the same mechanism as on a GPU, only slow."""
    facts = sft(base, tmp_path, engine=Engine(precision="bf16"))
    assert facts["precision"] == "bf16"
    assert {weight.dtype for weight in weights(tmp_path).values()} == {torch.float32}
    assert not close(whole, tmp_path, 1e-6)  # so it was not computed in 32
    assert close(whole, tmp_path, 0.1)


def test_decoding_computes_in_the_precision_of_the_engine(base):
    model, tokenizer = loading.load(base)
    seen = []
    model.model.layers[0].mlp.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    for precision in ("fp32", "bf16"):
        decode((model, tokenizer), ["a"], Decoding(max_new_tokens=1), engine=Engine(precision=precision))
    assert seen == [torch.float32, torch.bfloat16]
    assert model.dtype == torch.float32


def test_frozen_weights_are_converted_once_and_frozen_afterwards(base):
    model, tokenizer = loading.load(base)
    model.requires_grad_(False)
    frozen = []
    model.register_forward_pre_hook(
        lambda module, _: frozen.append(not any(w.requires_grad for w in module.parameters()))
    )
    for precision in ("fp32", "bf16"):
        decode((model, tokenizer), ["a"], Decoding(max_new_tokens=1), engine=Engine(precision=precision))
    assert frozen == [True, False]  # autocast keeps copies of those only that have a gradient
    assert not any(weight.requires_grad for weight in model.parameters())


# ---- memory


def test_a_batch_that_does_not_fit_is_cut_and_what_is_learnt_is_the_same(base, tmp_path, whole, monkeypatch):
    assert sft(base, tmp_path / "plenty")["micro_batch"] == 8
    fitting = memory.micro_batch
    shape = memory.shape_of(loading.load(base)[0].config)
    three = memory.step(shape, memory.Training(), 3, 40) / (1 - memory.MARGIN)
    monkeypatch.setattr(memory, "free", lambda engine: int(three))
    monkeypatch.setattr(memory, "micro_batch", lambda batch, rows, *rest: fitting(batch, memory.Rows(40), *rest))
    assert sft(base, tmp_path / "little")["micro_batch"] == 2
    assert close(whole, tmp_path / "little")


def test_a_model_for_which_not_one_row_fits_is_refused_with_what_would_help(base, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda engine: 1000)
    with pytest.raises(ValueError, match=r"not even one row .* fits.*gradient checkpointing.*lora"):
        sft(base, tmp_path)


def test_gradient_checkpointing_changes_nothing_but_memory(base, tmp_path, whole):
    sft(base, tmp_path, engine=Engine(gradient_checkpointing=True))
    assert close(whole, tmp_path)


def test_with_gradient_checkpointing_layers_compute_once_more(base, tmp_path):
    calls = []
    for number, on in enumerate((False, True)):
        model, tokenizer = loading.load(base)
        calls.append(0)
        model.model.layers[0].mlp.register_forward_pre_hook(lambda *_, n=number: calls.__setitem__(n, calls[n] + 1))
        folder = tmp_path / str(on)
        folder.mkdir()
        texts, settings = demonstrations(together.ROWS, PROMPT), together.SETTINGS
        how = run(folder, engine=Engine(gradient_checkpointing=on))
        by_sft.train((model, tokenizer), texts, settings, how, evaluate_early=False)
    assert calls[1] == calls[0] + together.SETTINGS.steps + 3  # and in the estimate before


def test_one_process_uses_one_gpu_however_many_there_are(tmp_path, monkeypatch):
    from trl import SFTConfig

    made = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    monkeypatch.setattr(SFTConfig, "n_gpu", property(lambda self: 4))
    assert arguments.of(lambda **_: made)._n_gpu == 1


# ---- trackers


def test_a_tracker_sees_the_training_and_leaves_no_trace_in_the_product(base, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(60))
    watched = factories.local_profile(base, corpus, engine__report_to="tensorboard")
    stage = Study(watched, 0, tmp_path / "runs").sft()
    events = EventAccumulator(str(tmp_path / "runs" / "local" / "seed-0" / "tracking" / stage.folder.name)).Reload()
    assert {"train/loss", "eval/bleu"} <= set(events.Tags()["scalars"])
    assert events.Scalars("eval/bleu")[-1].value == pytest.approx(
        Study(watched, 0, tmp_path / "runs").log()["eval_bleu"].iloc[-1]
    )
    assert not [name for name in stage.record["files"] if "events" in name]
    unwatched = factories.local_profile(base, corpus)
    assert Study(unwatched, 0, tmp_path / "runs").sft().folder == stage.folder  # the same product


def test_trackers_are_told_apart_by_profile_seed_and_stage(tmp_path):
    folder = tmp_path / "smollm-135m" / "seed-3" / "grpo-0123456789ab.partial"
    settings = arguments.shared(profile("tiny").grpo, 4, run(folder, 3, engine=Engine(report_to="wandb,trackio")), 8)
    assert settings["report_to"] == ["wandb", "trackio"]
    assert settings["run_name"] == "smollm-135m/seed-3/grpo-0123456789ab"
    assert settings["project"] == "gecalign"


# ---- vLLM


class FakeVLLM:
    """Stands for TRL's way to vLLM: asked with token ids, a copy of a prompt a sample, it answers with ids and EOS."""

    made: ClassVar[list[FakeVLLM]] = []

    def __init__(self, model, accelerator, processing_class, **settings):
        self.model, self.tokenizer, self.settings = model, processing_class, settings
        self.synced = 0
        FakeVLLM.made.append(self)

        self.llm = object()

    def sync_weights(self):
        assert self.llm is not None, "it was let go"
        self.synced += 1

    def generate(self, prompts, images, num_generations, profiler=None):
        assert self.synced, "the weights were never sent"
        assert images is None
        assert len(prompts) % num_generations == 0
        ids, logprobs = [], []
        for prompt in prompts:
            torch.manual_seed(len(ids))
            out = self.model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=True,
                temperature=self.settings["temperature"], top_k=0, pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                max_new_tokens=self.settings["max_completion_length"],
            )  # fmt: skip
            new = out[0, len(prompt) :]
            with torch.no_grad():
                logits = self.model(out).logits[0, len(prompt) - 1 : -1] / self.settings["temperature"]
            scored = torch.log_softmax(logits, dim=-1).gather(-1, new.unsqueeze(-1))
            ids.append(new.tolist())
            logprobs.append(scored.tolist())
        return prompts, ids, logprobs, None


@pytest.fixture
def vllm(monkeypatch):
    import trl.generation.vllm_generation
    import trl.trainer.grpo_trainer

    FakeVLLM.made = []
    monkeypatch.setattr(vllm_sampling, "installed", lambda: "")
    monkeypatch.setattr(trl.generation.vllm_generation, "VLLMGeneration", FakeVLLM)
    monkeypatch.setattr(trl.trainer.grpo_trainer, "VLLMGeneration", FakeVLLM)
    return FakeVLLM


def test_vllm_draws_the_candidates_of_pairs(base, vllm, monkeypatch):
    monkeypatch.setattr(vllm_sampling, "AT_ONCE", 3)
    model, tokenizer = loading.load(base)
    examples, settings = factories.examples(7), Pairs(samples=4, temperature=1.0, top_p=0.9)
    drawn = sampling.draw(
        (model, tokenizer), examples, settings, Asking(PROMPT, DECODING, Engine(sampler="vllm-colocate"))
    )
    (generation,) = vllm.made
    assert [sampled.source for sampled in drawn] == [example.source for example in examples]
    assert all(len(sampled.samples) == 4 for sampled in drawn)
    assert len({sample.text for sample in drawn[0].samples}) > 1
    asked = tokenizer([prompts.render(PROMPT, example.source) for example in examples])["input_ids"]
    length = max(map(len, asked)) + 8
    expected = {"temperature": 1.0, "top_p": 0.9, "max_completion_length": 8, "mode": "colocate",
                "server_base_url": None, "max_model_length": length, "gpu_memory_utilization": 0.3}  # fmt: skip
    assert expected.items() <= generation.settings.items()
    # what was written is marked as every other completion is
    assert all(sample.truncated == (sample.tokens == 8) or sample.tokens == 8 for s in drawn for sample in s.samples)


def test_what_vllm_writes_is_filed_under_its_prompt(base, vllm, monkeypatch):
    def echo(self, prompts, images, num_generations, profiler=None):
        return prompts, [prompt[-3:] for prompt in prompts], None, None

    monkeypatch.setattr(vllm, "generate", echo)
    monkeypatch.setattr(vllm_sampling, "AT_ONCE", 3)
    model, tokenizer = loading.load(base)
    asked = [example.source for example in factories.examples(7)]
    drawn = vllm_sampling.draw((model, tokenizer), asked, Decoding(1.0, samples=2), Engine(sampler="vllm-colocate"))
    ends = [tokenizer.decode(ids[-3:]) for ids in tokenizer(asked)["input_ids"]]
    assert [[one.text for one in group] for group in drawn] == [[end, end] for end in ends]


def test_a_server_is_left_when_it_has_answered(base, vllm, monkeypatch):
    left = []
    client = SimpleNamespace(close_communicator=lambda: left.append(True))
    monkeypatch.setattr(vllm, "vllm_client", client, raising=False)
    vllm_sampling.draw(loading.load(base), ["a"], Decoding(1.0, max_new_tokens=2), Engine(sampler="vllm-server"))
    assert left == [True]  # or the samples of pairs would keep GRPO from its port


def test_a_server_is_asked_at_its_address(base, vllm):
    engine = Engine(sampler="vllm-server", vllm_url="http://other:9000")
    vllm_sampling.draw(loading.load(base), ["a", "b"], Decoding(1.0, samples=2, max_new_tokens=2), engine)
    assert vllm.made[0].settings["server_base_url"] == "http://other:9000"
    assert vllm.made[0].settings["mode"] == "server"


def test_grpo_trains_on_what_vllm_writes(base, vllm, tmp_path):
    start, (reference, _) = loading.load(base), loading.load(base)
    settings = replace(test_train_grpo.SETTINGS, steps=2, evaluations=1)
    engine = Engine(sampler="vllm-colocate")
    grpo.train(start, reference, test_train_grpo.ROWS, settings, run(tmp_path, engine=engine))
    (generation,) = vllm.made
    assert generation.synced == 2  # before each generation, with the weights of that moment
    assert generation.llm is None  # and the GPU is free for what follows
    assert generation.settings["max_completion_length"] == DECODING.max_new_tokens
    assert unmoved(base, tmp_path) == []


@pytest.mark.parametrize(
    ("found", "message", "words"),
    [
        (False, "", "which is not installed"),
        (True, "TRL currently supports vLLM versions from 1 to 2. You have version 3 installed.", "You have version 3"),
    ],
)
def test_a_missing_or_wrong_vllm_is_an_error_before_anything_is_trained(monkeypatch, found, message, words):
    def available() -> bool:
        if message:
            warnings.warn(message, stacklevel=1)
        return found

    module = importlib.import_module("trl.import_utils")
    monkeypatch.setattr(module, "is_vllm_available", available)
    with pytest.raises(ValueError, match=f"{words}.*set engine__sampler to transformers"):
        vllm_sampling.arguments(Engine(sampler="vllm-colocate"), 100)
    assert vllm_sampling.arguments(Engine(), 100) == {}


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="engine__sampler is 'vllm'; expected one of: transformers, vllm-colocate"):
        vllm_sampling.mode(Engine(sampler="vllm"))


def test_trl_knows_the_arguments_that_vllm_gets():
    from dataclasses import fields
    from inspect import signature

    from trl import GRPOConfig
    from trl.generation.vllm_generation import VLLMGeneration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_sampling, "installed", lambda: "")
        told = vllm_sampling.arguments(Engine(sampler="vllm-server"), 100)
    assert set(told) <= {field.name for field in fields(GRPOConfig)}
    known = set(signature(VLLMGeneration.__init__).parameters)
    assert {"mode", "server_base_url", "gpu_memory_utilization", "max_model_length", "max_completion_length"} <= known
    assert SimpleNamespace(**told).vllm_mode == "server"
