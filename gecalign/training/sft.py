"""Supervised fine-tuning: what should be written is shown. Explained in chapter 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from gecalign import config
from gecalign.models.loading import Loaded
from gecalign.models.memory import Rows
from gecalign.training import arguments, estimates, loop
from gecalign.training.rows import first_references, fitting, lengths
from gecalign.training.setup import Run


def train(
    start: Loaded, rows: Sequence[dict[str, str]], settings: config.SFT, run: Run, evaluate_early: bool = True
) -> dict[str, Any]:
    """Fine-tune a model on rows of prompt and completion, such as `rows.demonstrations` gives; return the facts.

    The loss is the mean negative log-likelihood (nats a token) of the completion and the EOS after it,
    given the prompt; with `completion_only_loss=False` the prompt's tokens count too.

    Args:
        start: the model and its tokenizer. The model is trained in place; the best checkpoint is what is kept.
        evaluate_early: whether checkpoints stand denser at the start, where most is learnt, or evenly, as in the
            other methods, so that a control has no more of them to choose from.
    """
    usable = fitting(rows, start[1], settings.max_length)
    made = trainer(start, usable, settings, run, evaluate_early)
    estimates.announce("sft", settings.steps * estimates.seconds_per_update(made))
    facts = loop.run(made, run.folder)
    log = pd.read_csv(run.folder / "log.csv")
    lowest = int(log["step"].iloc[log["eval_loss"].argmin()])
    return {**facts, "lowest_loss_step": lowest, "rows": len(usable), "too_long": len(rows) - len(usable)}


def trainer(
    start: Loaded, rows: Sequence[dict[str, str]], settings: config.SFT, run: Run, evaluate_early: bool = True
) -> SFTTrainer:
    """Return TRL's trainer on rows of prompt and completion, ready to train."""
    model, tokenizer = start
    fits = arguments.micro_batch(settings, model, run, Rows(max(lengths(rows, tokenizer))))
    made = loop.measured(
        SFTTrainer
    )(
        model=model,
        processing_class=tokenizer,
        peft_config=arguments.adapters(run.lora),
        args=arguments.of(
            SFTConfig,
            completion_only_loss=settings.completion_only_loss,
            max_length=None,  # rows that are too long were dropped, not cut
            train_sampling_strategy="group_by_length",
            include_num_input_tokens_seen="non_padding",
            eval_on_start=True,
            **arguments.shared(settings, settings.steps, run, fits),
        ),
        train_dataset=Dataset.from_list(list(rows)),
        eval_dataset=Dataset.from_list(first_references(run.dev, run.asking.prompt) or list(rows[:1])),
    )
    steps = arguments.evaluation_steps if evaluate_early else arguments.even_steps
    # the settings of the controls, which do not start from the base, are those of `config.Continued`
    part = "sft" if evaluate_early else "continued"
    return loop.finish(made, run, steps(settings.steps, settings.evaluations), part)
