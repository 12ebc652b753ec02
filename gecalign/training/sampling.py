"""Many samples of a model: the candidates of preference pairs, and the two ways of checking a reward.

Drawing is `gecalign.models.decode`'s; the second way goes through GRPO's trainer with learning rate 0, so that the code
that is checked is the code that will train.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from gecalign import config, prompts
from gecalign.corpus.examples import Example
from gecalign.corpus.texts import Reference, as_reference
from gecalign.models.decode import Completion, decode
from gecalign.models.loading import Loaded
from gecalign.preferences import pairs, rewards
from gecalign.preferences.reward_check import Array, RewardCheck
from gecalign.runtime import processes
from gecalign.training import grpo, vllm_sampling
from gecalign.training.setup import Asking, Run

GROUPS_AT_ONCE = 8  # prompts in a generation of the trainer's check


def draw(policy: Loaded, examples: Sequence[Example], settings: config.Pairs, asking: Asking) -> list[pairs.Sampled]:
    """Return the examples with `settings.samples` samples each; with two temperatures, half of them at each.

    Raises:
        ValueError: two temperatures, and an odd number of samples.
    """
    second = settings.second_temperature
    temperatures = [settings.temperature] if second is None else [settings.temperature, second]
    pairs.check(settings)
    asked = [prompts.render(asking.prompt, example.source) for example in examples]
    by_temperature: list[list[list[pairs.Sample]]] = []
    for i, temperature in enumerate(temperatures):
        at = replace(
            asking.decoding,
            temperature=temperature,
            top_p=settings.top_p,
            samples=settings.samples // len(temperatures),
        )
        how = replace(asking, decoding=at, seed=asking.seed + 1000 * i)
        outputs = _draw(policy, asked, how, f"sampling at {temperature}")
        by_temperature.append(
            [
                [pairs.Sample(prompts.hypothesis(c.text), c.tokens, c.truncated, temperature) for c in group]
                for group in outputs
            ]
        )
    # in turn, so that the first two of a prompt are of both temperatures
    drawn = [
        tuple(sample for turn in zip(*groups, strict=True) for sample in turn)
        for groups in zip(*by_temperature, strict=True)
    ]
    return [pairs.Sampled(e.id, e.source, e.reference, kept) for e, kept in zip(examples, drawn, strict=True)]


def _draw(policy: Loaded, asked: Sequence[str], asking: Asking, progress: str) -> list[list[Completion]]:
    if vllm_sampling.mode(asking.engine):
        return vllm_sampling.draw(policy, asked, asking.decoding, asking.engine, progress)
    return decode(policy, asked, asking.decoding, seed=asking.seed, progress=progress, engine=asking.engine)


def check_rewards(
    policy: Loaded,
    reference: PreTrainedModel,
    examples: Sequence[Example],
    settings: config.RewardCheck,
    training: config.GRPO,
    run: Run,
) -> RewardCheck:
    """Return the rewards of the frozen model's samples, drawn directly and through GRPO's trainer.

    Args:
        reference: another copy of the model, which the trainer asks for.
        run: its folder is where the trainer may write.
    """
    objective, asking = rewards.objective(training.reward), run.asking
    asked = [prompts.render(asking.prompt, example.source) for example in examples]
    sampled = replace(asking.decoding, temperature=settings.temperature, top_p=settings.top_p, samples=settings.samples)
    drawn = decode(policy, asked, sampled, seed=asking.seed, progress="sampling", engine=asking.engine)
    direct = _scored(drawn, examples, objective)
    best = decode(policy, asked, asking.decoding, engine=asking.engine)
    greedy = _scored(best, examples, objective)[:, 0]
    frozen = replace(
        training, group_size=settings.samples, temperature=settings.temperature, top_p=settings.top_p, learning_rate=0.0
    )
    untold = replace(run, asking=replace(asking, engine=replace(asking.engine, report_to="none")))
    trainer = frozen_rewards(policy, reference, examples, frozen, untold)
    return RewardCheck(direct, trainer, greedy, training.reward)


def frozen_rewards(
    policy: Loaded, reference: PreTrainedModel, examples: Sequence[Example], settings: config.GRPO, run: Run
) -> Array:
    """Return the rewards, shape (prompts, group size), of what GRPO's trainer samples while the weights stand still.

    Raises:
        ValueError: the learning rate is not 0.
        RuntimeError: a weight moved all the same.
    """
    if settings.learning_rate != 0:
        raise ValueError(f"grpo__learning_rate is {settings.learning_rate}; a frozen policy has 0.")
    at_once = math.gcd(len(examples), GROUPS_AT_ONCE)
    once = replace(
        settings, steps=len(examples) // at_once, batch_size=settings.group_size * at_once, evaluations=1,
        updates_per_generation=1, micro_batch_size=None,
    )  # fmt: skip
    trainer = grpo.trainer(policy, reference, examples, once, run)
    trainer.dev_scores = lambda _: dict.fromkeys(("bleu", run.yardstick), 0.0)
    collected: dict[tuple[str, Reference], list[float]] = defaultdict(list)
    calculate = trainer._calculate_rewards

    def collecting(inputs: list[dict], *args: object) -> torch.Tensor:
        values = calculate(inputs, *args)  # of the samples of all processes
        asked = processes.gather([(row["source"], as_reference(row["reference"])) for row in inputs])
        for key, value in zip(asked, (values * trainer.reward_weights).sum(dim=1).tolist(), strict=True):
            collected[key].append(value)
        return values

    trainer._calculate_rewards = collecting  # type: ignore[method-assign]
    before = {
        name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad
    }
    trainer.train()
    after = {name: _whole(weight) for name, weight in trainer.model.named_parameters() if name in before}
    if moved := [name for name in before if not torch.equal(after[name], before[name])]:
        raise RuntimeError(f"the policy was to stand still, but {moved[0]} moved; this check measures something else.")
    return np.array([collected[example.source, example.reference] for example in examples])


def _whole(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight of which this process may hold only a part since the training."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _scored(groups: Sequence[Sequence], examples: Sequence[Example], objective: rewards.Objective) -> Array:
    rows = [(e, prompts.hypothesis(c.text)) for e, group in zip(examples, groups, strict=True) for c in group]
    scores = objective([text for _, text in rows], [e.reference for e, _ in rows], [e.source for e, _ in rows])
    return scores.reshape(len(examples), -1)
