"""What watches a training or decoding: seconds and tokens of every update, seconds in generation, peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from stand_in import END
from transformers import LlamaForCausalLM, TrainerCallback
from trl import DPOTrainer

from gecalign.models import generation


class Meter:
    """Counts that only grow, and their readings."""

    def __init__(self) -> None:
        self.trained: Any = 0  # tokens; on a GPU a tensor there, so that counting does not make it wait
        self.sampled = 0  # tokens
        self.generating = 0.0  # seconds
        self.once = 0.0  # seconds of DPO's reference model, before the first update
        self.readings: list[tuple[float, float, float, float]] = []

    def read(self) -> None:
        """Note where the counts stand."""
        self.readings.append((clock(), float(self.trained), float(self.sampled), self.generating))

    def units(self) -> np.ndarray:
        """Return, a row for each pair of readings, seconds, trained and sampled tokens, seconds of generation."""
        return np.diff(np.array(self.readings), axis=0)  # (readings - 1, 4)

    def count_trained(self, model: Any, args: Any, inputs: dict[str, Any]) -> None:
        """Called before each forward pass; those with gradients are training."""
        if torch.is_grad_enabled():
            self.trained = self.trained + inputs["attention_mask"].sum()

    @contextmanager
    def on_generation(self) -> Iterator[None]:
        """Time what writes, ours and Transformers' `generate`, and count its tokens, EOS included, whoever calls it."""
        plain, own = LlamaForCausalLM.generate, generation.generate

        def generate(model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            start = clock()
            ids = plain(model, *args, **kwargs)  # (B, prompt and completion)
            self.generating += clock() - start
            ends = (ids[:, kwargs["input_ids"].shape[1] :] == END).int()
            self.sampled += int((ends.cumsum(dim=1) - ends == 0).sum())
            return ids

        def ours(*args: Any) -> list[list[list[int]]]:
            start = clock()
            groups = own(*args)
            self.generating += clock() - start
            self.sampled += sum(len(ids) for group in groups for ids in group)
            return groups

        with patch.object(LlamaForCausalLM, "generate", generate), patch.object(generation, "generate", ours):
            yield

    @contextmanager
    def on_references(self) -> Iterator[None]:
        """Time DPO's reference model where a trainer asks it about all training pairs when it is made."""
        plain = DPOTrainer._precompute_ref_logps

        def precompute(trainer: Any, dataset: Any, name: str, *args: Any) -> Any:
            start = clock()
            result = plain(trainer, dataset, name, *args)
            self.once += (clock() - start) * (name == "train")
            return result

        with patch.object(DPOTrainer, "_precompute_ref_logps", precompute):
            yield


class _Enough(BaseException):
    """The last timed update is over; what a training does at its end is not to be waited for."""


def watch(trainer: Any, meter: Meter, warm_up: int, updates: int) -> None:
    """Train for some updates, and read the meter where the warm-up ends and after each one that follows."""

    class Watch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == warm_up == 0:
                meter.read()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step >= max(1, warm_up):
                meter.read()
            if state.global_step == warm_up + updates:
                raise _Enough

    trainer.model.register_forward_pre_hook(meter.count_trained, with_kwargs=True)
    trainer.add_callback(Watch())
    try:
        trainer.train()
    except _Enough:
        return
    raise RuntimeError(f"the training ended before {warm_up + updates} updates: give it more rows.")


def clock() -> float:
    """Return the seconds of the wall clock, once a GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_memory() -> tuple[int, str]:
    """Return the most bytes that this process has held, and where: on the "gpu", or in RAM, the "process"."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated(), "gpu"
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says on Linux includes the process that started this one
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1]), "process"
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "process"
