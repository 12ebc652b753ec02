"""Trainings that break or teach nothing: stopped where numbers end, and said in words where they do not.

The trainer itself does neither: it leaves losses that are no numbers out of its averages, goes on with weights that are
none, and takes the best of its checkpoints however bad that is. So `Watch` looks at losses, gradients and weights while
a training runs, and `verdict` at what came out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerState

from gecalign import config
from gecalign.runtime import processes, store

# Far below the start: more than chance does on a few hundred sentences, which is 1 to 2 BLEU, and than any method pays
# for what it teaches; and less than half, so that a start that could do next to nothing alarms nobody.
FAR = 5.0  # BLEU
LOGGED = {"loss": "the loss", "grad_norm": "the norm of the gradient", "eval_loss": "the loss on the evaluation rows"}
STILL = 1e-9  # a weight that has moved no further has not moved: the spacing of 32-bit floats at the size of most
PROBED = 1024  # entries of each weight that are kept to see whether it has moved
# Updates in a row that fp16 skips: its scale, 2^16 at first, is halved each time, and has left all that could help.
SKIPPED = 40
# What else than the rate keeps a method from learning; of methods that learn from their own samples, the last.
CAUSES = {
    "sft": "sft__warmup_steps",
    "continued": "sft__warmup_steps",
    "dpo": "dpo__warmup_steps, dpo__beta, how few pairs there are",
}
REWARDED = "{}__warmup_steps, rewards that never differ in a group (frac_reward_zero_std in log.csv)"


class Watch(TrainerCallback):
    """Stop a training when its numbers are none any more, in all processes at once; say when it falls far below.

    Losses and gradients are looked at whenever they are logged, weights before each evaluation and so before they are
    saved.

    Args:
        steps: the updates after which there is an evaluation.
        part: the part of the profile that the settings come from, as messages name them.
    """

    def __init__(self, steps: Collection[int], part: str):
        self.steps, self.part = steps, part
        self.start: float | None = None  # dev score before the first update; measured, or set by who knows it
        self.skipped = 0  # updates in a row

    def on_step_end(
        self, args: Any, state: TrainerState, control: Any, model: Any = None, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Called by the trainer."""
        self.skipped = self.skipped + 1 if getattr(optimizer, "step_was_skipped", False) else 0
        if self.skipped >= SKIPPED:  # in all processes at once, which share gradients
            fault = f"the last {self.skipped} updates were skipped, as gradients overflow fp16 however they are scaled"
            self.stop_if(fault, args, state.global_step)
        if state.global_step in self.steps:
            self.stop_if(not_finite(model), args, state.global_step)

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Called by the trainer."""
        logs = logs or {}
        # with fp16 the loss is scaled until gradients overflow now and then; such updates are skipped
        looked_at = [name for name in LOGGED if name in logs and not (name == "grad_norm" and args.fp16)]
        if looked_at:
            broken = [f"{LOGGED[name]} is {logs[name]}" for name in looked_at if not math.isfinite(logs[name])]
            self.stop_if(" and ".join(broken), args, state.global_step)
        if "eval_bleu" in logs:
            self._compare(logs[f"eval_{args.metric_for_best_model}"], args, state)

    def stop_if(self, fault: str, args: Any, step: int) -> None:
        """Raise `store.Spoiled` in all processes where one of them found a fault."""
        if found := next((one for one in processes.gather([fault]) if one), ""):
            raise store.Spoiled(broken(found, args, step, self.part))

    def _compare(self, score: float, args: Any, state: TrainerState) -> None:
        if state.global_step == 0:
            self.start = score
        self.start = start_of(state, self.start)
        if is_far_below(score, self.start):
            where, label = f"{product(args)}: after update {state.global_step}", args.metric_for_best_model.upper()
            processes.say(
                f"{where} the model scores {score:.1f} {label} on dev, far below {self.start:.1f} at the start"
            )


def start_of(state: TrainerState, known: float | None) -> float | None:
    """Return the dev score before the first update: from the log, of a resumed training too, or what is known."""
    name = f"eval_{yardstick_of(state.log_history)}"
    logged = [entry[name] for entry in state.log_history if entry["step"] == 0 and name in entry]
    return logged[0] if logged else known


def yardstick_of(log: Sequence[Mapping[str, Any]], prefix: str = "eval") -> str:
    """Return by which metric a training was measured: BLEU, unless its log, or its facts, have another beside it."""
    return next((name for name in config.YARDSTICKS[1:] if any(f"{prefix}_{name}" in one for one in log)), "bleu")


def is_far_below(bleu: float, start: float | None) -> bool:
    """Whether a score lies so far below that of the start that the training destroyed more than it taught."""
    return start is not None and start - bleu > FAR and bleu < start / 2


def not_finite(model: nn.Module) -> str:
    """Return what is wrong with the weights that are trained, in words; nothing where all are finite numbers."""
    trained = [(name, _mine(weight)) for name, weight in model.named_parameters() if weight.requires_grad]
    whole = [torch.isfinite(weight).all() for _, weight in trained]
    if not whole or bool(torch.stack(whole).all()):  # one wait for the accelerator
        return ""
    names = [name for (name, _), fine in zip(trained, whole, strict=True) if not fine]
    return f"{len(names)} of {len(trained)} weights hold numbers that are not finite, such as {names[0]}"


def _mine(weight: torch.Tensor) -> torch.Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


def broken(fault: str, args: Any, step: int, part: str) -> str:
    """Return why a training stops, and what to try, in words."""
    rates = [getattr(profile, part).learning_rate for profile in config.PROFILES.values()]
    if step == 0:
        advice = "It starts from a model that is broken, or whose arithmetic overflows"
    else:
        usual = f"profiles have {min(rates):g} to {max(rates):g}"
        advice = f"Lower {part}__learning_rate, which is {args.learning_rate:g} ({usual})"
    if args.fp16:
        advice += "; or set engine__precision to bf16 or fp32, which hold larger numbers than fp16"
    return (
        f"{product(args)} broke after update {step} of {args.max_steps}: {fault}. {advice}. What it had learnt is "
        "thrown away, so that nothing goes on from there."
    )


def product(args: Any) -> str:
    """Return the name of what is being trained, the folder's."""
    return Path(args.output_dir).parent.name.removesuffix(".partial")


def probe(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the first entries of every weight that is trained, to see later whether any of it has moved."""
    return {
        name: weight.detach().flatten()[:PROBED].cpu().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def has_moved(before: Mapping[str, torch.Tensor], model: nn.Module) -> bool:
    """Whether any of the entries that were kept is another one now."""
    now = probe(model)
    return any(bool((now[name] - old).abs().max() > STILL) for name, old in before.items())


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went, by what was measured on dev.

    Attributes:
        scored: by the yardstick, after updates.
        start: the same before the first, None where nobody knows.
        chosen: the update whose checkpoint is kept.
        moved: whether its weights differ from those of the start.
        losses: those on references after updates, 0 included, where it is them that are to be learnt.
    """

    scored: Mapping[int, float]
    start: float | None
    chosen: int
    moved: bool
    losses: Mapping[int, float] = field(default_factory=dict)
    yardstick: str = "bleu"

    @property
    def label(self) -> str:
        """The yardstick, as people write it."""
        return self.yardstick.upper()

    @property
    def best(self) -> float:
        """What the checkpoint that is kept scores."""
        return self.scored.get(self.chosen, math.nan)

    @property
    def far(self) -> list[int]:
        """The updates after which the model scored far below the start."""
        return [step for step, value in self.scored.items() if is_far_below(value, self.start)]


def verdict(course: Course, rate: str, causes: str = "") -> str:
    """Return what is wrong with a training that ended, in words; nothing where nothing is.

    Args:
        rate: the learning rate, in words.
        causes: what else may keep it from learning, in words.
    """
    far, scored = course.far, course.scored
    still = f"See eval_{course.yardstick} and grad_norm in log.csv, and {rate}{'; also ' * bool(causes)}{causes}."
    if not course.moved:
        fallen = f"{len(far)} of {len(scored)} checkpoints score far below it: lower {rate}."
        return (
            f"nothing was learnt: the checkpoint that was chosen, after update {course.chosen}, has the weights of the "
            f"start. {fallen if far else still}"
        )
    if words := _harm(course, rate) or _no_gain(course, still):
        return words
    if far:
        return (
            f"training destroyed the model on the way: {len(far)} of {len(scored)} checkpoints score far below "
            f"{course.start:.1f} {course.label} on dev, where it started, the first of them after update {far[0]}. The "
            f"one that was chosen, after update {course.chosen}, scores {course.best:.1f}. A longer training needs a "
            f"lower {rate}."
        )
    return ""


def _harm(course: Course, rate: str) -> str:
    """Return in what the checkpoint that is kept is worse than the start."""
    chosen, best, losses, start = course.chosen, course.best, course.losses, course.start
    if chosen in course.far:
        return (
            f"training destroyed the model: the best checkpoint, after update {chosen}, scores {best:.1f} "
            f"{course.label} on dev, far below {start:.1f} at the start. Lower {rate}."
        )
    if losses.get(chosen, 0) > losses.get(0, math.inf):
        return (
            f"training destroyed the model: the best checkpoint, after update {chosen}, has a loss of "
            f"{losses[chosen]:.2f} nats a token on dev, above {losses[0]:.2f} at the start. Lower {rate}."
        )
    if start is not None and start - best > FAR:
        return (
            f"training made the model worse: the best checkpoint, after update {chosen}, scores {best:.1f} "
            f"{course.label} on dev, and the start {start:.1f}. Lower {rate}."
        )
    return ""


def _no_gain(course: Course, still: str) -> str:
    """Return that nothing shows, where no checkpoint scores above the start; `still` says what to look at."""
    start, best, scored = course.start, course.best, course.scored
    if start is not None and scored and set(scored.values()) == {start}:
        return (
            f"nothing was learnt that shows: after every one of {len(scored)} evaluated updates the model scores as at "
            f"the start, {start:.1f} {course.label} on dev. {still}"
        )
    if course.losses and start is not None and best <= start:
        return (
            f"no checkpoint scores above the start, {start:.1f} {course.label} on dev; the best, after update "
            f"{course.chosen}, has {best:.1f}. {still}"
        )
    return ""


def of_log(
    log: Sequence[Mapping[str, float]],
    part: str,
    rate: float,
    chosen: int,
    moved: bool = True,
    start: float | None = None,
) -> str:
    """Return the verdict on a training by the entries of its log, the trainer's or the rows of `log.csv`.

    Args:
        part: the part of the profile that its settings come from.
        start: the dev score before the first update, where the log does not tell.
    """
    yardstick = yardstick_of(log)
    scored, losses = (
        {int(entry["step"]): entry[name] for entry in log if math.isfinite(entry.get(name, math.nan))}
        for name in (f"eval_{yardstick}", "eval_loss")
    )
    course = Course(
        {step: value for step, value in scored.items() if step > 0}, scored.get(0, start), chosen, moved,
        losses if part == "sft" else {}, yardstick,
    )  # fmt: skip
    rate_in_words = f"{part}__learning_rate, which is {rate:g}"
    return verdict(course, rate_in_words, CAUSES.get(part, REWARDED.format(part)))


def warning_of(stage: store.Stage, start: float | None = None) -> str:
    """Return what is wrong with a trained system, in words, also of one made before anybody looked at it.

    Args:
        start: the dev score of what it started from, which the log of GRPO does not tell.
    """
    if "warning" in stage.facts or not (stage.folder / "log.csv").exists():
        return str(stage.facts.get("warning", ""))
    name, rate = stage.record["stage"], stage.record["spec"]["settings"]["learning_rate"]
    methods = {config.part_of(settings): settings for settings in config.online(config.TINY)}
    part = next((one for one in ("dpo", *methods) if name.startswith(one)), "sft" if name == "sft" else "continued")
    log = pd.read_csv(stage.folder / "log.csv").to_dict("records")
    return of_log(log, part, rate, stage.facts["chosen_step"], start=start)  # type: ignore[arg-type]
