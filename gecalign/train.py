"""Training through TRL. So far: SFT; DPO and GRPO will stand beside it, parallel line by line.

What all methods share: dev BLEU is measured during training by the decoder that also measures the
result, the checkpoint with the highest dev BLEU is kept, the log goes to `log.csv`, and training goes on
from the last checkpoint where it was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from gecalign import config, metrics, models, prompts
from gecalign.decode import decode
from gecalign.examples import Example

# Kept out of the log: clock times, which differ from run to run (a digest covers the log), and the trainer's
# closing summary.
_LEFT_OUT = ("runtime", "per_second", "total_flos", "train_loss")


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
    given the prompt; with `completion_only_loss=False` the prompt's tokens count too (chapter 2).

    Returns:
        What is worth recording: chosen step, its dev BLEU, tokens trained on, rows dropped.
    """
    rows = demonstrations(train, prompt)
    usable = fitting(rows, tokenizer, settings.max_length)
    trainer = _with_dev_bleu(SFTTrainer)(
        model=model,
        processing_class=tokenizer,
        args=SFTConfig(
            completion_only_loss=settings.completion_only_loss,
            max_length=None,  # rows that are too long were dropped, not cut
            **_shared_arguments(settings, seed, folder),
        ),
        train_dataset=Dataset.from_list(usable),
        eval_dataset=Dataset.from_list(references(dev, prompt)),
        callbacks=[EvaluateAt(evaluation_steps(settings.steps, settings.evaluations))],
    )
    trainer.dev_bleu = dev_bleu(dev, tokenizer, prompt, decoding)
    return {**_run(trainer, tokenizer, folder), "rows": len(usable), "too_long": len(rows) - len(usable)}


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


def fitting(rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[dict[str, str]]:
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
    interval = max(1, steps // evaluations)
    early = {interval // 8, interval // 4, interval // 2} - {0}
    return tuple(sorted({*early, *range(interval, steps + 1, interval), steps}))


class EvaluateAt(TrainerCallback):
    """Evaluate, and save what a resumed training needs, after the given updates."""

    def __init__(self, steps: Sequence[int]):
        self.steps = set(steps)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in self.steps:
            control.should_evaluate = control.should_save = True


def dev_bleu(
    dev: Sequence[Example], tokenizer: PreTrainedTokenizerBase, prompt: config.Prompt, decoding: config.Decoding
) -> Callable[[PreTrainedModel], float]:
    """Return a function that decodes `dev` with a model and gives its corpus BLEU (0-100)."""
    asked = [prompts.render(prompt, example.source) for example in dev]
    targets = [example.reference for example in dev]

    def bleu(model: PreTrainedModel) -> float:
        outputs = decode(model, tokenizer, asked, decoding)
        return metrics.bleu.corpus([prompts.hypothesis(output[0].text) for output in outputs], targets).value

    return bleu


def _with_dev_bleu(trainer_class: type) -> type:
    """Return the trainer class with dev BLEU in what `evaluate` reports, and so in log and model selection."""

    class WithDevBleu(trainer_class):
        dev_bleu: Callable[[PreTrainedModel], float]

        def evaluate(self, *args, metric_key_prefix: str = "eval", **kwargs):
            result = super().evaluate(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            bleu = {f"{metric_key_prefix}_bleu": self.dev_bleu(self.accelerator.unwrap_model(self.model))}
            self.log(bleu)
            return {**result, **bleu}

    WithDevBleu.__name__ = trainer_class.__name__
    return WithDevBleu


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
        "gradient_checkpointing": False,
        "eval_on_start": True,
        # `EvaluateAt` adds steps to these two, which the trainer wants to be alike to pick the best model
        "eval_strategy": "steps",
        "eval_steps": settings.steps,
        "save_strategy": "steps",
        "save_steps": settings.steps,
        "save_total_limit": 1,  # and the best one
        "load_best_model_at_end": True,
        "metric_for_best_model": "bleu",
        "greater_is_better": True,
        "logging_steps": max(1, settings.steps // 60),
        "report_to": "none",
        **models.precision(),
    }


def _run(trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, Any]:
    """Train, from the last checkpoint if there is one; save the best model and the log; return the facts."""
    trainer.train(resume_from_checkpoint=_last_checkpoint(folder / "checkpoints"))
    models.save(trainer.model, tokenizer, folder / "model")
    log = log_table(trainer.state.log_history)
    log.to_csv(folder / "log.csv", index=False)
    shutil.rmtree(folder / "checkpoints")
    best = log.loc[log["eval_bleu"].idxmax()]
    return {
        "chosen_step": int(best["step"]),
        "dev_bleu": float(best["eval_bleu"]),
        "lowest_loss_step": int(log.loc[log["eval_loss"].idxmin(), "step"]),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "tokens": int(log["num_tokens"].max()),
    }


def log_table(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Return the trainer's log as a table with a row a step; see `_LEFT_OUT`."""
    rows: dict[int, dict[str, float]] = {}
    for entry in history:
        values = {key: value for key, value in entry.items() if not any(word in key for word in _LEFT_OUT)}
        rows.setdefault(int(entry["step"]), {}).update(values)
    return pd.DataFrame([rows[step] for step in sorted(rows)])


def _last_checkpoint(folder: Path) -> str | None:
    return get_last_checkpoint(str(folder)) if folder.exists() else None
