"""Training through TRL. So far: SFT; DPO and GRPO will stand beside it, parallel line by line.

What all methods share: dev BLEU is measured during training by the decoder that also measures the
result, the checkpoint with the highest dev BLEU is kept, the log goes to `log.csv`, and training goes on
from the last checkpoint where it was interrupted.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
)
from trl import SFTConfig, SFTTrainer

from gecalign import config, metrics, models, prompts
from gecalign.decode import decode
from gecalign.examples import Example

# Kept out of the log: clock times, which differ from run to run (a digest covers the log), the trainer's closing
# summary, and TRL's count of tokens, which starts at zero again when training is resumed.
_LEFT_OUT = ("runtime", "per_second", "total_flos", "train_loss", "num_tokens")
LOG_ROWS = 60  # spread evenly over the training; the updates that are evaluated are logged as well
_STATE = "trainer_state.json"  # the trainer writes it last, so a checkpoint that has it whole is whole


def sft(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    dev: Sequence[Example],
    settings: config.SFT,
    prompt: config.Prompt,
    decoding: config.Decoding,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Fine-tune `model` on the demonstrations; leave the best model and the log in `folder`.

    The loss is the mean negative log-likelihood (nats a token) of the completion and the EOS after it,
    given the prompt; with `completion_only_loss=False` the prompt's tokens count too. Explained in chapter 2.

    Returns:
        What is worth recording: chosen step, its dev BLEU, tokens trained on, rows used and dropped.
    """
    rows = demonstrations(train, prompt)
    usable = fitting(rows, tokenizer, settings.max_length)
    trainer = sft_trainer(model, tokenizer, usable, references(dev, prompt), settings, seed, folder)
    trainer.dev_bleu = dev_bleu(dev, tokenizer, prompt, decoding)
    minutes = settings.steps * seconds_per_update(trainer) / 60
    print(f"[sft] about {minutes:.0f} min on this machine, plus what the evaluations take", file=sys.stderr)
    return {**_run(trainer, tokenizer, folder), "rows": len(usable), "too_long": len(rows) - len(usable)}


def sft_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[dict[str, str]],
    dev: Sequence[dict[str, str]],
    settings: config.SFT,
    seed: int,
    folder: Path,
) -> SFTTrainer:
    """Return TRL's trainer on rows of prompt and completion, ready to train."""
    order = torch.Generator()
    evaluate_at = EvaluateAt(evaluation_steps(settings.steps, settings.evaluations))
    trainer = _measured(SFTTrainer, order)(
        model=model,
        processing_class=tokenizer,
        args=SFTConfig(
            completion_only_loss=settings.completion_only_loss,
            max_length=None,  # rows that are too long were dropped, not cut
            **_shared_arguments(settings, seed, folder),
        ),
        train_dataset=Dataset.from_list(list(train)),
        eval_dataset=Dataset.from_list(list(dev)),
        callbacks=[evaluate_at, SeedOrder(order), Progress()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def seconds_per_update(trainer: Trainer) -> float:
    """Measure what one update takes: forward and backward pass on the first rows, without changing the model."""
    rows = [trainer.train_dataset[i] for i in range(min(trainer.args.train_batch_size, len(trainer.train_dataset)))]
    batch = {name: column.to(trainer.model.device) for name, column in trainer.data_collator(rows).items()}
    times = []
    for _ in range(3):  # the first ones warm up
        start = time.perf_counter()
        trainer.model(**batch).loss.backward()
        times.append(time.perf_counter() - start)
        trainer.model.zero_grad()
    return min(times) * trainer.args.gradient_accumulation_steps


def demonstrations(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the annotator demonstrated: exactly these two columns.

    A `text` column beside them would make TRL put the EOS there, and the model would never learn to stop.
    """
    return [_row(prompt, example.source, example.demonstration) for example in examples]


def references(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the sentences should be."""
    return [_row(prompt, example.source, example.reference) for example in examples]


def _row(prompt: config.Prompt, source: str, target: str) -> dict[str, str]:
    return {"prompt": prompts.render(prompt, source), "completion": prompts.completion(target)}


def fitting(
    rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[dict[str, str]]:
    """Return the rows whose prompt, completion and EOS fit into `max_length` tokens.

    Raises:
        ValueError: none does.
    """
    lengths = tokenizer([row["prompt"] + row["completion"] for row in rows])["input_ids"]
    kept = [row for row, ids in zip(rows, lengths, strict=True) if len(ids) < max_length]
    if not kept:
        raise ValueError(
            f"none of the {len(rows)} rows fits into {max_length} tokens, prompt and completion together. "
            "Raise sft__max_length, or shorten the texts."
        )
    return kept


def evaluation_steps(steps: int, evaluations: int) -> tuple[int, ...]:
    """Return at which updates to evaluate: evenly, and denser at the start, where most is learnt.

    >>> evaluation_steps(800, 4)
    (25, 50, 100, 200, 400, 600, 800)
    """
    if steps < 1 or evaluations < 1:
        raise ValueError(f"sft__steps ({steps}) and sft__evaluations ({evaluations}) must be at least 1.")
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
) -> Callable[[PreTrainedModel], float]:
    """Return a function that decodes `dev` with a model and gives its corpus BLEU (0-100)."""
    asked = [prompts.render(prompt, example.source) for example in dev]
    targets = [example.reference for example in dev]

    def bleu(model: PreTrainedModel) -> float:
        outputs = decode(model, tokenizer, asked, decoding)
        return metrics.bleu.corpus([prompts.hypothesis(output[0].text) for output in outputs], targets).value

    return bleu


def _measured(trainer_class: type, order: torch.Generator) -> type:
    """Return the trainer class with dev BLEU in what `evaluate` reports, and rows in the order that `order` draws."""

    class Measured(trainer_class):
        dev_bleu: Callable[[PreTrainedModel], float]

        def _get_train_sampler(self, *args: Any) -> Any:
            sampler = super()._get_train_sampler(*args)
            sampler.generator = order
            return sampler

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            # TRL's own computes the same value in tiles, which saves memory where the vocabulary is large; on a
            # CPU, with the tiny base, that takes about 1.5 times as long (bench/sft_loss.py)
            if models.device().type == "cpu":
                return Trainer.compute_loss(self, *args, **kwargs)
            return super().compute_loss(*args, **kwargs)

        def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
            result = super().evaluate(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            bleu = {f"{metric_key_prefix}_bleu": self.dev_bleu(self.accelerator.unwrap_model(self.model))}
            self.log(bleu)
            return {**result, **bleu}

    Measured.__name__ = trainer_class.__name__
    return Measured


def _shared_arguments(settings: config.SFT, seed: int, folder: Path) -> dict[str, Any]:
    micro_batch = settings.micro_batch_size or settings.batch_size
    if settings.batch_size % micro_batch:
        raise ValueError(f"batch_size ({settings.batch_size}) must be a multiple of micro_batch_size ({micro_batch}).")
    return {
        "output_dir": str(folder / "checkpoints"),
        "seed": seed,
        "max_steps": settings.steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": settings.batch_size // micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps,
        "lr_scheduler_type": "cosine",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "train_sampling_strategy": "group_by_length",
        "activation_checkpointing": False,
        "eval_on_start": True,
        # `EvaluateAt` adds steps to these two
        "eval_strategy": "steps",
        "eval_steps": settings.steps,
        "save_strategy": "steps",
        "save_steps": settings.steps,
        "save_total_limit": 2,  # the best one and the last
        "metric_for_best_model": "bleu",
        "greater_is_better": True,
        "logging_steps": max(1, settings.steps // LOG_ROWS),
        "include_num_input_tokens_seen": "non_padding",
        "disable_tqdm": True,  # `Progress` shows one
        "dataloader_pin_memory": models.device().type == "cuda",
        "report_to": "none",
        **models.precision(),
    }


def _run(trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, Any]:
    """Train, from the last checkpoint if there is one; save the best model and the log; return the facts."""
    checkpoints = folder / "checkpoints"
    last = _last_checkpoint(checkpoints)
    if last is None or _state(last).global_step < trainer.args.max_steps:  # else only what follows was cut off
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    state = _state(checkpoints / f"checkpoint-{trainer.args.max_steps}")
    best, _ = models.load(checkpoints / f"checkpoint-{state.best_global_step}")
    models.save(best, tokenizer, folder / "model")
    log = log_table(state.log_history)
    log.to_csv(folder / "log.csv", index=False)
    shutil.rmtree(checkpoints)
    return {
        "chosen_step": state.best_global_step,
        "dev_bleu": state.best_metric,
        "lowest_loss_step": int(log["step"].iloc[log["eval_loss"].argmin()]),
        "parameters": sum(p.numel() for p in best.parameters()),
        "tokens": int(log["num_input_tokens_seen"].max()),
    }


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
