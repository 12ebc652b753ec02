"""The arithmetic of groups: how many prompts and samples an update, a generation and a whole training take."""

from __future__ import annotations

from collections.abc import Sequence

from gecalign import config
from gecalign.corpus.examples import Example


def plan(settings: config.Online) -> dict[str, int]:
    """Return how many prompts and samples there are an update, a generation and in all.

    Raises:
        ValueError: the samples of a generation are no multiple of the group size, or a group has one sample.
    """
    name, generation = config.part_of(settings), settings.batch_size * settings.updates_per_generation  # samples
    if settings.group_size < 2:
        raise ValueError(f"{name}__group_size is {settings.group_size}: a group needs two samples to compare.")
    if generation % settings.group_size:
        raise ValueError(
            f"a generation has {generation} samples (batch_size {settings.batch_size} times updates_per_generation "
            f"{settings.updates_per_generation}), which is no multiple of {name}__group_size, {settings.group_size}."
        )
    generations = -(-settings.steps // settings.updates_per_generation)
    return {
        "updates": settings.steps,
        "samples_an_update": settings.batch_size,
        "prompts_a_generation": generation // settings.group_size,
        "updates_a_generation": settings.updates_per_generation,
        "prompts_in_all": generations * generation // settings.group_size,
        "samples_in_all": generations * generation,
    }


def in_words(plan: dict[str, int]) -> str:
    """Return the arithmetic of the batches as a sentence."""
    asked, use = plan["prompts_a_generation"], plan["updates_a_generation"]
    return (
        f"{plan['updates']} updates of {plan['samples_an_update']} samples; each generation has {asked} "
        f"prompt{'s' * (asked > 1)} and lasts {use} update{'s' * (use > 1)}, so that every sample is used "
        f"once{', the later ones by a policy that has moved on' * (use > 1)}; {plan['prompts_in_all']:,} prompts and "
        f"{plan['samples_in_all']:,} samples in all"
    )


def check_enough(examples: Sequence[Example], settings: config.Online) -> None:
    """Raise ValueError where there are too few prompts for one generation."""
    needed, name = plan(settings)["prompts_a_generation"], config.part_of(settings)
    if len(examples) < needed:
        raise ValueError(
            f"a generation takes {needed} prompts, and there are only {len(examples)}. Lower {name}__batch_size, raise "
            f"{name}__group_size, or give more (data__preference_rows)."
        )
