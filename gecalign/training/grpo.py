"""Group relative policy optimization: what a model writes is rewarded. Explained in chapter 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel
from trl import GRPOConfig, GRPOTrainer

from gecalign import config
from gecalign.corpus.examples import Example
from gecalign.models.loading import Loaded
from gecalign.training import online
from gecalign.training.setup import Run


def train(
    start: Loaded,
    reference: PreTrainedModel,
    examples: Sequence[Example],
    settings: config.GRPO,
    run: Run,
    shuffle_rewards: bool = False,
) -> dict[str, Any]:
    """Train a model to write more of what a reward prefers among its own samples; return the facts.

    A sample's advantage is its reward less the mean of its group, the samples of the same prompt, divided by their
    standard deviation (`scale_rewards`). The loss is minus the advantage times the ratio of new to old probability,
    token by token and clipped (Shao et al. 2024, https://arxiv.org/abs/2402.03300, equation 3), plus `beta` times the
    KL divergence from the reference.

    Args:
        start: the model and its tokenizer. The model is trained in place; the best checkpoint is what is kept.
        reference: what the KL divergence is measured from, see `online.trainer`.
        shuffle_rewards: whether the rewards of a group are dealt out to its samples at random, as a control.
    """
    made = trainer(start, reference, examples, settings, run)
    made.shuffle_rewards = shuffle_rewards
    return online.trained(made, examples, settings, run)


def trainer(
    start: Loaded, reference: PreTrainedModel, examples: Sequence[Example], settings: config.GRPO, run: Run
) -> Any:
    """Return TRL's trainer on prompts and a reward, ready to train; raises what `online.trainer` does."""
    own = {
        "multi_objective_aggregation": settings.multi_objective,
        "loss_type": settings.loss,
        "scale_rewards": settings.scale_rewards,
    }
    method = online.Method(GRPOTrainer, GRPOConfig, own)
    return online.trainer(method, start, reference, examples, settings, run)
