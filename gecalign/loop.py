"""What the three trainers share: measuring on dev, keeping the best checkpoint, resuming, the log.

Dev BLEU is measured during training by the decoder that also measures the result, the checkpoint with the
highest dev BLEU is kept, the log goes to `log.csv`, and training goes on from the last checkpoint where it
was interrupted, to the same weights. One that breaks is stopped, and nothing of it is kept (`gecalign.health`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils import is_peft_model
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from gecalign import bars, config, health, memory, metrics, models, processes, prompts, store
from gecalign.decode import decode
from gecalign.examples import Example
from gecalign.lm_head import use_plain_head

# Kept out of the log: clock times, which differ from run to run (a digest covers the log), the trainer's closing
# summary, and TRL's count of tokens, which starts at zero again when training is resumed.
_LEFT_OUT = ("runtime", "per_second", "total_flos", "train_loss", "num_tokens", "step_time")
LOG_ROWS = 60  # spread evenly over the training; the updates that are evaluated are logged as well
_STATE = "trainer_state.json"  # the trainer writes it last, so a checkpoint that has it whole is whole


def even_steps(steps: int, evaluations: int, multiple: int = 1) -> tuple[int, ...]:
    """Return at which updates to evaluate: evenly, the last one included, and at multiples of `multiple` before it.

    >>> even_steps(80, 4)
    (20, 40, 60, 80)
    """
    if steps < 1 or evaluations < 1:
        raise ValueError(f"the updates ({steps}) and the evaluations among them ({evaluations}) must be at least 1.")
    even = {multiple * round(i * steps / evaluations / multiple) for i in range(1, evaluations)}
    return tuple(sorted({*(even - {0}), steps}))


def evaluation_steps(steps: int, evaluations: int) -> tuple[int, ...]:
    """Return at which updates to evaluate: evenly, and denser at the start, where most is learnt.

    >>> evaluation_steps(800, 4)
    (25, 50, 100, 200, 400, 600, 800)
    """
    even_steps(1, min(steps, evaluations))  # checks both
    interval = max(1, steps // evaluations)
    early = {interval // 8, interval // 4, interval // 2} - {0}
    return tuple(sorted({*early, *range(interval, steps + 1, interval), steps}))


class EvaluateAt(TrainerCallback):
    """Log, evaluate, and save what a resumed training needs, after the given updates."""

    def __init__(self, steps: Sequence[int]):
        self.steps = set(steps)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if state.global_step in self.steps:
            # logged too: losses are averaged since the last log, and a resumed training starts a new average
            control.should_log = control.should_evaluate = control.should_save = True


class SeedOrder(TrainerCallback):
    """Draw the order of the rows from seed and epoch alone, so that a resumed training sees the same order."""

    def __init__(self, order: torch.Generator):
        self.order = order

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.order.manual_seed(args.seed + 1000 * int(state.epoch or 0))


class Progress(ProgressCallback):
    """The trainer's progress bar, without the log on standard output: that is in `log.csv`."""

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Print nothing."""


def dev_bleu(
    dev: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    prompt: config.Prompt,
    decoding: config.Decoding,
    engine: config.Engine,
) -> Callable[[PreTrainedModel], float]:
    """Return a function that decodes `dev` with a model and gives its corpus BLEU (0-100)."""
    asked = [prompts.render(prompt, example.source) for example in dev]
    targets = [example.reference for example in dev]

    def bleu(model: PreTrainedModel) -> float:
        outputs = decode(model, tokenizer, asked, decoding, engine=engine)
        return metrics.bleu.corpus([prompts.hypothesis(output[0].text) for output in outputs], targets).value

    return bleu


def measured(trainer_class: type, evaluate_loss: bool = True) -> type:
    """Return the trainer class with dev BLEU in what `evaluate` reports, a row order of its own, 32-bit results.

    The result has two attributes to be set: `dev_bleu`, see above, and `order`, the generator that shuffles.

    Args:
        evaluate_loss: whether `evaluate` also reports what the trainer itself measures on its evaluation rows.
    """

    class Measured(trainer_class):
        dev_bleu: Callable[[PreTrainedModel], float]
        order: torch.Generator

        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            sharding = getattr(self.accelerator.state, "fsdp_plugin", None)
            if sharding and (policy := sharding.mixed_precision_policy):
                # as without sharding; else log-probabilities come back, and gradients are added up, in 16 bits
                whole = replace(policy, reduce_dtype=torch.float32, output_dtype=torch.float32)
                sharding.mixed_precision_policy = whole

        def _get_train_sampler(self, *args: Any) -> Any:
            sampler = super()._get_train_sampler(*args)
            sampler.generator = self.order
            if isinstance(sampler, LengthGroupedSampler):  # it knows of one process's share of a batch only
                sampler.batch_size *= processes.count()
            return sampler

        def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
            result = super().evaluate(*args, metric_key_prefix=metric_key_prefix, **kwargs) if evaluate_loss else {}
            self.model.eval()  # what is logged now is filed under evaluation
            bleu = {f"{metric_key_prefix}_bleu": self.dev_bleu(self.accelerator.unwrap_model(self.model))}
            self.log(bleu)
            if not evaluate_loss:  # else told already; untold, it would be asked for again at the end of an epoch
                told = self.callback_handler.on_evaluate(self.args, self.state, self.control, bleu)  # type: ignore[has-type]
                self.control = told
            return {**result, **bleu}

    Measured.__name__ = trainer_class.__name__
    return Measured


def finish(trainer: Any, evaluate_at: Sequence[int], part: str, temperature: float = 1.0) -> Any:
    """Give a trainer its row order, its callbacks and, where it is seen, a progress bar; return it, ready to train.

    Args:
        part: the part of the profile that its settings come from.
    """
    use_plain_head(_without_adapters(trainer.model), temperature)
    if trainer.args.activation_checkpointing:  # the trainer does so when it starts; estimates need the memory before
        _without_adapters(trainer.model).activation_checkpointing_enable()
    trainer.order = torch.Generator()
    trainer.watch = health.Watch(frozenset(evaluate_at), part)
    shown = [Progress()] if bars.watched() else []
    for callback in (trainer.watch, EvaluateAt(evaluate_at), SeedOrder(trainer.order), *shown):
        trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)
    return trainer


Settings = config.SFT | config.DPO | config.GRPO


def shared_arguments(
    settings: Settings, steps: int, seed: int, folder: Path, engine: config.Engine, micro_batch: int
) -> dict[str, Any]:
    """Return the trainer's arguments that all methods share; see `share` for what a process has in memory at once."""
    precision = models.precision(engine)
    return {
        "output_dir": str(folder / "checkpoints"),
        "seed": seed,
        "max_steps": steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": share(settings) // micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps,
        "lr_scheduler_type": "cosine",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "activation_checkpointing": engine.gradient_checkpointing,
        # `EvaluateAt` adds steps to these two
        "eval_strategy": "steps",
        "eval_steps": steps,
        "save_strategy": "steps",
        "save_steps": steps,
        "save_total_limit": 2,  # the best one and the last
        "metric_for_best_model": "bleu",
        "greater_is_better": True,
        "logging_steps": max(1, steps // LOG_ROWS),
        "logging_nan_inf_filter": False,  # it takes losses that are no numbers out of the log, and nobody would know
        "disable_tqdm": True,  # `Progress` shows one, where somebody sees it
        "dataloader_pin_memory": models.device().type == "cuda",
        "report_to": engine.report_to.split(","),
        "project": "gecalign",
        "run_name": "/".join([*folder.parts[-3:-1], folder.name.removesuffix(".partial")]),
        "use_cpu": models.device().type == "cpu",
        "ddp_find_unused_parameters": False,
        "ddp_timeout": int(processes.PATIENCE.total_seconds()),
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
    }


def micro_batch(
    settings: Settings,
    model: PreTrainedModel,
    length: int,
    engine: config.Engine,
    lora: config.LoRA,
    texts: int = 1,
    scored: int | None = None,
    frozen: int = 0,
    later: int = 0,
) -> int:
    """Return how many rows a process has in memory at once: what the settings say, or as many as fit.

    What is learnt does not depend on it: gradients are added up over the micro-batches of a batch. (But for rounding,
    and for the last batch of an epoch of DPO where the pairs do not fill it: its parts weigh the same, whatever they
    hold.)

    Args:
        length: tokens of the longest text, prompt and completion together.
        texts: texts in a row.
        scored: tokens of a text that the loss is computed on, at the most; None: all.
        frozen: other models that compute during an update.
        later: those among them that are not loaded yet.

    Raises:
        ValueError: the micro-batch of the settings does not divide the batch, or not even one row fits.
    """
    batch = share(settings)
    if settings.micro_batch_size is not None:
        if batch % settings.micro_batch_size:
            raise ValueError(
                f"{_part(settings)}__micro_batch_size is {settings.micro_batch_size}, which does not divide the "
                f"{batch} rows that a process has of a batch. Set one that does, or None: as many as fit."
            )
        return settings.micro_batch_size
    on_cpu = model.device.type == "cpu"
    how = memory.Training(
        models.precision(engine), not on_cpu, engine.gradient_checkpointing, lora.rank, processes.count(),
        processes.sharded(), frozen,
    )  # fmt: skip
    shape = memory.shape_of(model.config)
    free = memory.free(engine) // (processes.count() if on_cpu else 1) - later * memory.weights(shape)
    free += memory.weights(shape) - memory.kept(shape, how)  # loaded whole, sharded when the training begins
    try:
        found = memory.micro_batch(batch, length, shape, free, how, texts=texts, scored=scored), ""
    except ValueError as error:
        limit = engine.memory_gb
        found = 0, str(error) + (f" (engine__memory_gb, {limit:g}, says what may be used.)" if limit else "")
    everywhere = processes.gather([found])  # of all, before one gives up: the others would wait for it
    if fault := next((fault for _, fault in everywhere if fault), ""):
        raise ValueError(fault)
    return min(rows for rows, _ in everywhere)


def arguments(kind: type, **values: Any) -> Any:
    """Return a trainer's arguments; a process uses one GPU, however many there are (`torchrun` starts more)."""
    made = kind(**values)
    made._n_gpu = min(made.n_gpu, 1)
    return made


def share(settings: Settings) -> int:
    """Return how much of a batch falls to one process.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """
    if settings.batch_size % processes.count():
        raise ValueError(
            f"{_part(settings)}__batch_size is {settings.batch_size}, which {processes.count()} processes cannot share "
            "evenly. Start another number of them, or change it (which changes what is learnt)."
        )
    return settings.batch_size // processes.count()


def _part(settings: Settings) -> str:
    """Return what the part of the profile is called that settings are of; the controls have theirs from SFT."""
    return type(settings).__name__.lower()


def seconds_per_update(trainer: Trainer) -> float:
    """Measure what one update takes: forward and backward pass on the first rows, without changing the model."""
    # weights are sharded later, and a micro-batch need not fit beside whole ones
    size = 1 if processes.sharded() else min(trainer.args.train_batch_size, len(trainer.train_dataset))
    rows = [trainer.train_dataset[i] for i in range(size)]
    batch = {name: column.to(trainer.model.device) for name, column in trainer.data_collator(rows).items()}
    trainer.model.train()  # else nothing is checkpointed
    times = []
    for _ in range(3):  # the first ones warm up
        start = time.perf_counter()
        with models.autocast(config.Engine(precision=precision_of(trainer))):
            loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        times.append(seconds_since(start))
        trainer.model.zero_grad()
    for logged in getattr(trainer, "_metrics", {}).values():
        logged.clear()  # TRL notes what every loss was computed from, and would log these, too
    return min(times) * trainer.args.train_batch_size / size * trainer.args.gradient_accumulation_steps


def seconds_since(start: float) -> float:
    """Return the seconds since `start`, of `time.perf_counter`, when the accelerator has done all it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def announce(method: str, seconds: float, plan: str = "") -> None:
    """Print what a training is about to do and about how long it takes, on standard error."""
    about = f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    processes.say(f"[{method}] {plan}about {about} on this machine, plus what the evaluations take")


def run(trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, Any]:
    """Train, from the last checkpoint if there is one; save the best model and the log; return the facts.

    Among them is a `warning` where the training taught nothing or destroyed the model, see `gecalign.health`.

    Raises:
        store.Spoiled: the training broke; its checkpoints are removed.
    """
    checkpoints = folder / "checkpoints"
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):  # beside the products; other trackers have places of their own
            callback.logging_dir = str(folder.parent / "tracking" / folder.name.removesuffix(".partial"))
    try:
        facts = _trained(trainer, tokenizer, folder, checkpoints)
    except store.Spoiled:
        if processes.is_main():
            shutil.rmtree(checkpoints, ignore_errors=True)
        raise
    processes.wait()  # until nobody reads checkpoints any more
    if processes.is_main():
        shutil.rmtree(checkpoints)
    return facts


def _trained(trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, checkpoints: Path) -> dict[str, Any]:
    before = health.probe(trainer.model)
    last = processes.from_main(lambda: _last_checkpoint(checkpoints))
    if last is None or _state(last).global_step < trainer.args.max_steps:  # else only what follows was cut off
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    processes.wait()  # until the last checkpoint is written
    sizes = [(p.numel(), p.requires_grad) for p in trainer.accelerator.unwrap_model(trainer.model).parameters()]
    state = _state(checkpoints / f"checkpoint-{trainer.args.max_steps}")
    fault, moved = processes.from_main(
        lambda: _keep(trainer, tokenizer, folder, checkpoints / f"checkpoint-{state.best_global_step}", before)
    )
    trainer.watch.stop_if(fault, trainer.args, state.best_global_step)
    if processes.is_main():
        log_table(state.log_history).to_csv(folder / "log.csv", index=False)
    warning = _warning(trainer, state, moved)
    return {
        "chosen_step": state.best_global_step,
        "dev_bleu": state.best_metric,
        **({"warning": warning} if warning else {}),
        "updates": trainer.args.max_steps,
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": sum(size for size, trained in sizes if trained),
        "tokens": state.num_input_tokens_seen,
        "micro_batch": trainer.args.train_batch_size,
        "precision": precision_of(trainer),
    }


def _keep(
    trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, checkpoint: Path, before: dict[str, torch.Tensor]
) -> tuple[str, bool]:
    """Save the model of a checkpoint, but for one with weights that are not finite.

    Returns:
        What is wrong with it, and whether it is another one than the start.
    """
    best = _chosen(trainer, checkpoint)
    if fault := health.not_finite(best):
        return fault, True
    moved = health.has_moved(before, best)
    # adapters are merged into the weights, so that all stages hold whole models
    models.save(best.merge_and_unload() if is_peft_model(best) else best, tokenizer, folder / "model")
    return "", moved


def _warning(trainer: Any, state: TrainerState, moved: bool) -> str:
    watch = trainer.watch
    warning = health.of_log(
        state.log_history, watch.part, trainer.args.learning_rate, state.best_global_step, moved, watch.start
    )
    if warning:
        processes.say(f"{health.product(trainer.args)}: {warning}")
    return warning


def precision_of(trainer: Trainer) -> str:
    """Return the precision that a trainer computes in."""
    return "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "fp32"


def _chosen(trainer: Any, checkpoint: Path) -> PreTrainedModel:
    """Return the model of a checkpoint, with its adapters beside the weights where it has some."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not is_peft_model(model):
        return models.load(checkpoint, finite=False)[0]  # that is looked at by who asks
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(checkpoint / "adapter_model.safetensors"))
    return model


def adapters(settings: config.LoRA) -> Any:
    """Return what TRL's trainers take as `peft_config`, None where all weights are trained.

    Raises:
        ValueError: weights are to be sharded as well, which adapters cannot be merged into.
    """
    if settings.rank == 0:
        return None
    if processes.sharded():
        raise ValueError(
            "adapters are merged into whole weights at the end, and here weights are sharded. Beside adapters there is "
            "little to shard: use configs/ddp.yaml, or train all weights (lora__rank=0, with lower learning rates)."
        )
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",  # but for the output embeddings
        task_type="CAUSAL_LM",
    )


def _without_adapters(model: PreTrainedModel) -> PreTrainedModel:
    return model.get_base_model() if is_peft_model(model) else model


def log_table(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Return the trainer's log as a table with a row a step; see `_LEFT_OUT`."""
    rows: dict[int, dict[str, float]] = {}
    for entry in history:
        values = {key: value for key, value in entry.items() if not any(word in key for word in _LEFT_OUT)}
        rows.setdefault(int(entry["step"]), {}).update(values)
    # sorted, because the order of the columns in the history depends on whether training was resumed
    table = pd.DataFrame([rows[step] for step in sorted(rows)])
    return table[["step", *sorted(str(column) for column in table if column != "step")]]


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that was written whole; one that a kill cut short has no readable state."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_json(path / _STATE)]
    return max(whole, key=lambda path: _state(path).global_step, default=None)


def _state(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / _STATE))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
