"""What the trainers share: measuring on dev, keeping the best checkpoint, resuming, the log.

Dev BLEU is measured during training by the decoder that also measures the result, and so is the yardstick if it is
another metric; the checkpoint that is best by the yardstick is kept (`arguments.shared` tells the trainer so), the log
goes to `log.csv`, and training goes on from the last checkpoint where it was interrupted, to the same weights. One that
breaks is stopped, and nothing of it is kept (`health`).
"""

from __future__ import annotations

import json
import shutil
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
    TrainerCallback,
    TrainerState,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from gecalign import metrics, prompts
from gecalign.models import loading, saving
from gecalign.models.decode import decode
from gecalign.models.lm_head import use_plain_head
from gecalign.runtime import bars, processes, store
from gecalign.training import arguments, health
from gecalign.training.setup import Run

# Kept out of the log: clock times, which differ from run to run (a digest covers the log), the trainer's closing
# summary, and TRL's count of tokens, which starts at zero again when training is resumed.
_LEFT_OUT = ("runtime", "per_second", "total_flos", "train_loss", "num_tokens", "step_time")
_STATE = "trainer_state.json"  # the trainer writes it last, so a checkpoint that has it whole is whole


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


def dev_scores(run: Run, tokenizer: PreTrainedTokenizerBase) -> Callable[[PreTrainedModel], dict[str, float]]:
    """Return a function that decodes the dev examples of a run with a model and gives its scores (0-100) by metric."""
    sources, targets = [example.source for example in run.dev], [example.reference for example in run.dev]
    asked = [prompts.render(run.asking.prompt, source) for source in sources]
    wanted = {name: getattr(metrics, name) for name in ("bleu", run.yardstick)}

    def scores(model: PreTrainedModel) -> dict[str, float]:
        outputs = decode((model, tokenizer), asked, run.asking.decoding, engine=run.engine)
        written = [prompts.hypothesis(output[0].text) for output in outputs]
        return {name: metric.corpus(written, targets, sources).value for name, metric in wanted.items()}

    return scores


def measured(trainer_class: type, evaluate_loss: bool = True) -> type:
    """Return the trainer class with dev BLEU in what `evaluate` reports, a row order of its own, 32-bit results.

    The result has two attributes to be set: `dev_scores`, see above, and `order`, the generator that shuffles.

    Args:
        evaluate_loss: whether `evaluate` also reports what the trainer itself measures on its evaluation rows.
    """

    class Measured(trainer_class):
        dev_scores: Callable[[PreTrainedModel], dict[str, float]]
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
            scored = self.dev_scores(self.accelerator.unwrap_model(self.model))
            told = {f"{metric_key_prefix}_{name}": value for name, value in scored.items()}
            self.log(told)
            if not evaluate_loss:  # else told already; untold, it would be asked for again at the end of an epoch
                control = self.callback_handler.on_evaluate(self.args, self.state, self.control, told)  # type: ignore[has-type]
                self.control = control
            return {**result, **told}

    Measured.__name__ = trainer_class.__name__
    return Measured


def finish(trainer: Any, run: Run, evaluate_at: Sequence[int], part: str, temperature: float = 1.0) -> Any:
    """Give a trainer its row order, its measure on dev, its callbacks, and a progress bar where it is seen; return it.

    Args:
        part: the part of the profile that its settings come from.
    """
    use_plain_head(without_adapters(trainer.model), temperature)
    if trainer.args.activation_checkpointing:  # the trainer does so when it starts; estimates need the memory before
        without_adapters(trainer.model).activation_checkpointing_enable()
    trainer.order, trainer.dev_scores = torch.Generator(), dev_scores(run, trainer.processing_class)
    trainer.watch = health.Watch(frozenset(evaluate_at), part)
    trainer.watch.start = run.start_score
    shown = [Progress()] if bars.watched() else []
    for callback in (trainer.watch, EvaluateAt(evaluate_at), SeedOrder(trainer.order), *shown):
        trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)
    return trainer


def run(trainer: Any, folder: Path) -> dict[str, Any]:
    """Train, from the last checkpoint if there is one; save the best model and the log; return the facts.

    Among them is a `warning` where the training taught nothing or destroyed the model, see `gecalign.training.health`.

    Raises:
        store.Spoiled: the training broke; its checkpoints are removed.
    """
    checkpoints = folder / "checkpoints"
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):  # beside the products; other trackers have places of their own
            callback.logging_dir = str(folder.parent / "tracking" / folder.name.removesuffix(".partial"))
    try:
        facts = _trained(trainer, folder, checkpoints)
    except store.Spoiled:
        if processes.is_main():
            shutil.rmtree(checkpoints, ignore_errors=True)
        raise
    processes.wait()  # until nobody reads checkpoints any more
    if processes.is_main():
        shutil.rmtree(checkpoints)
    return facts


def _trained(trainer: Any, folder: Path, checkpoints: Path) -> dict[str, Any]:
    before = health.probe(trainer.model)
    last = processes.from_main(lambda: _last_checkpoint(checkpoints))
    if last is None or _state(last).global_step < trainer.args.max_steps:  # else only what follows was cut off
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    processes.wait()  # until the last checkpoint is written
    sizes = [(p.numel(), p.requires_grad) for p in trainer.accelerator.unwrap_model(trainer.model).parameters()]
    state = _state(checkpoints / f"checkpoint-{trainer.args.max_steps}")
    fault, moved = processes.from_main(
        lambda: _keep(trainer, folder, checkpoints / f"checkpoint-{state.best_global_step}", before)
    )
    trainer.watch.stop_if(fault, trainer.args, state.best_global_step)
    if processes.is_main():
        log_table(state.log_history).to_csv(folder / "log.csv", index=False)
    warning = _warning(trainer, state, moved)
    return {
        "chosen_step": state.best_global_step,
        **_best(state, trainer.args.metric_for_best_model),
        **({"warning": warning} if warning else {}),
        "updates": trainer.args.max_steps,
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": sum(size for size, trained in sizes if trained),
        "tokens": state.num_input_tokens_seen,
        "micro_batch": trainer.args.train_batch_size,
        "precision": arguments.precision_of(trainer),
    }


def _best(state: TrainerState, yardstick: str) -> dict[str, float]:
    """Return what the chosen checkpoint scores on dev: BLEU, and by the yardstick."""
    logged = [entry for entry in state.log_history if entry["step"] == state.best_global_step and "eval_bleu" in entry]
    return {f"dev_{name}": logged[-1][f"eval_{name}"] for name in ("bleu", yardstick)}


def _keep(trainer: Any, folder: Path, checkpoint: Path, before: dict[str, torch.Tensor]) -> tuple[str, bool]:
    """Save the model of a checkpoint, but for one with weights that are not finite.

    Returns:
        What is wrong with it, and whether it is another one than the start.
    """
    best = _chosen(trainer, checkpoint)
    if fault := health.not_finite(best):
        return fault, True
    moved = health.has_moved(before, best)
    # adapters are merged into the weights, so that all stages hold whole models
    saving.save(best.merge_and_unload() if is_peft_model(best) else best, trainer.processing_class, folder / "model")
    return "", moved


def _warning(trainer: Any, state: TrainerState, moved: bool) -> str:
    watch = trainer.watch
    warning = health.of_log(
        state.log_history, watch.part, trainer.args.learning_rate, state.best_global_step, moved, watch.start
    )
    if warning:
        processes.say(f"{health.product(trainer.args)}: {warning}")
    return warning


def _chosen(trainer: Any, checkpoint: Path) -> PreTrainedModel:
    """Return the model of a checkpoint, with its adapters beside the weights where it has some."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not is_peft_model(model):
        return loading.load(checkpoint, finite=False)[0]  # that is looked at by who asks
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(checkpoint / "adapter_model.safetensors"))
    return model


def without_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model that adapters were put around, or the model itself."""
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
