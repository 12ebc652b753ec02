"""REINFORCE, leave one out: as GRPO, but a sample is compared with the others of its group, and counts as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel
from trl import RLOOConfig, RLOOTrainer

from gecalign import config
from gecalign.corpus.examples import Example
from gecalign.models.loading import Loaded
from gecalign.training import online
from gecalign.training.setup import Run


def train(
    start: Loaded, reference: PreTrainedModel, examples: Sequence[Example], settings: config.RLOO, run: Run
) -> dict[str, Any]:
    """Train a model to write more of what a reward prefers among its own samples; return the facts.

    A sample's advantage is its reward less the mean reward of the *other* samples of its prompt, not divided by
    anything (Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740). The loss is minus the advantage times the clipped
    ratio of new to old probability of the whole completion, as TRL has it. With `beta` above 0 the reward of a sample
    is lowered by `beta` times its log-ratio to the reference.

    Args:
        start: the model and its tokenizer. The model is trained in place; the best checkpoint is what is kept.
        reference: what the KL divergence is measured from, see `online.trainer`.
    """
    return online.trained(trainer(start, reference, examples, settings, run), examples, settings, run)


def trainer(
    start: Loaded, reference: PreTrainedModel, examples: Sequence[Example], settings: config.RLOO, run: Run
) -> Any:
    """Return TRL's trainer on prompts and a reward, ready to train; raises what `online.trainer` does."""
    method = online.Method(RLOOTrainer, RLOOConfig, {"normalize_advantages": settings.normalize_advantages})
    return online.trainer(method, start, reference, examples, settings, run)
