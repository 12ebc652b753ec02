"""How each trained system is made: a function of a study, which gives a stage with `model/` and `log.csv`.

All but SFT start from the SFT model of the same seed. The controls make as many updates as GRPO on as many rows an
update as SFT, with the learning rate of `config.Continued`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from gecalign import config
from gecalign.corpus.examples import Example
from gecalign.preferences import pairs, rewards
from gecalign.runtime import bars, store
from gecalign.runtime.store import Stage
from gecalign.study import designs
from gecalign.study.stages import Study, trains

SECOND_TEMPERATURE = 1.2  # of the pairs that are confounded with it; as published


@trains("sft")
def sft(study: Study) -> Stage:
    """Return the supervised model, trained from the base on the demonstrations."""
    return _sft(study, "sft", "train")


@trains("sft-continued")
def sft_continued(study: Study) -> Stage:
    """Return SFT trained on, on the same demonstrations: the control."""
    return _sft(study, "sft-continued", "train")


@trains("sft-fresh")
def sft_fresh(study: Study) -> Stage:
    """Return SFT trained on, on demonstrations of the prompts that pairs and rewards ask about.

    What a method gains over this one is not due to its prompts being new.
    """
    return _sft(study, "sft-fresh", study.profile.grpo.split)


@trains("random-of-k")
def random_of_k(study: Study) -> Stage:
    """Return SFT trained on, on a random one of its own k samples for each prompt of the pairs.

    The control of RAFT: what training on own samples does if nobody chooses.
    """
    return _on_own_samples(study, "random-of-k", pairs.first_samples)


@trains("raft")
def raft(study: Study) -> Stage:
    """Return SFT trained on, on the best of its own k samples for each prompt of the pairs.

    Rejection sampling, or RAFT (Dong et al. 2023, https://arxiv.org/abs/2304.06767): what the reward alone gives,
    without any negative signal.
    """
    return _on_own_samples(study, "raft", pairs.best_samples)


@trains("dpo")
def dpo(study: Study) -> Stage:
    """Return the model that DPO trains on the preference pairs, with SFT as the reference."""
    settings, pairs_made = study.profile.dpo, study.pairs()

    def make(folder: Path) -> dict[str, Any]:
        from gecalign.training import dpo

        policy, (reference, _) = study.model("sft"), study.model("sft")
        chosen, held_out = (pairs.read(pairs_made.folder / f"{name}.jsonl") for name in ("pairs", "held_out"))
        return dpo.train(policy, reference, chosen, held_out, settings, study.run(folder))

    updates = f"{settings.epochs} epochs of {pairs_made.facts['pairs']} pairs"
    return _train(study, "dpo", {"sft": study.sft().content, "pairs": pairs_made.content}, settings, make, updates)


@trains("dpo-reference")
def dpo_reference(study: Study) -> Stage:
    """Return DPO on pairs whose chosen text is the reference, as most public preference sets have it."""
    return study.variant(study.profile.variant(pairs__selection="reference")).dpo()


@trains("grpo-4")
def grpo_4(study: Study) -> Stage:
    """Return GRPO with groups of 4."""
    return study.variant(designs.of_size(study.profile, 4)).grpo()


@trains("grpo")
def grpo(study: Study) -> Stage:
    """Return the model that GRPO trains on its own samples and the reward."""
    return _rewarded(study, "grpo", study.profile.grpo)


@trains("grpo-16")
def grpo_16(study: Study) -> Stage:
    """Return GRPO with groups of 16."""
    return study.variant(designs.of_size(study.profile, 16)).grpo()


@trains("grpo-shuffled")
def grpo_shuffled(study: Study) -> Stage:
    """Return GRPO with the rewards of a group dealt out to its samples at random.

    The control in which all is as in GRPO, but for what is rewarded.
    """
    return _rewarded(study, "grpo-shuffled", study.profile.grpo, shuffle_rewards=True)


@trains("sft-careful")
def sft_careful(study: Study) -> Stage:
    """Return SFT trained on, on the *references* of the prompts that pairs and rewards ask about.

    What the methods learn from judgements on such prompts, this one is simply told.
    """
    return _sft(study, "sft-careful", study.profile.grpo.split, "references")


@trains("sft-unmasked")
def sft_unmasked(study: Study) -> Stage:
    """Return SFT whose loss covers the tokens of the prompt too."""
    return study.variant(study.profile.variant(sft__completion_only_loss=False)).sft()


@trains("dpo-two-temperatures")
def dpo_two_temperatures(study: Study) -> Stage:
    """Return DPO on pairs of which half of the samples were drawn at a higher temperature, as published."""
    return two_temperatures(study).dpo()


@trains("rloo")
def rloo(study: Study) -> Stage:
    """Return the model that RLOO trains on its own samples and the reward."""
    return _rewarded(study, "rloo", study.profile.rloo)


def _rewarded(study: Study, name: str, settings: config.Online, **how: bool) -> Stage:
    """Train by the method that the settings are of: the file of `gecalign.training` that has the name of their part."""
    prompted = study.prompted(settings.split)

    def make(folder: Path) -> dict[str, Any]:
        method = import_module(f"gecalign.training.{config.part_of(settings)}")
        policy, (reference, _) = study.model("sft"), study.model("sft")
        run = study.run(folder, study.sft().facts[f"dev_{study.profile.yardstick.metric}"])
        return method.train(policy, reference, prompted, settings, run, **how)

    updates = f"{settings.steps} updates of {settings.batch_size} samples"
    return _train(study, name, {"sft": study.sft().content}, settings, make, updates)


def continued(profile: config.Profile) -> config.SFT:
    """Return the settings of SFT that goes on: as many updates as GRPO makes, and what `config.Continued` says."""
    return replace(profile.sft, steps=profile.grpo.steps, **asdict(profile.continued))


def two_temperatures(study: Study) -> Study:
    """Return the study whose pairs are drawn at two temperatures."""
    return study.variant(study.profile.variant(pairs__second_temperature=SECOND_TEMPERATURE))


def _on_own_samples(study: Study, name: str, choose: Callable) -> Stage:
    samples, reward = study.samples(), study.profile.pairs.reward

    def written(_: str) -> Sequence[Example]:
        return choose(pairs.read_sampled(samples.folder / "samples.jsonl"), rewards.objective(reward))

    return _sft(study, name, "samples", examples=written, samples=samples.content, reward=reward)


def _sft(
    study: Study,
    name: str,
    split: str,
    target: str = "demonstrations",
    examples: Callable[[str], Sequence[Example]] | None = None,
    **made_from: str,
) -> Stage:
    """Train SFT from the base, or SFT on.

    Args:
        split: what is shown.
        target: of it "demonstrations" or "references".
        examples: gives what the split stands for, if that is no split of the corpus.
        made_from: what else decides the product.
    """
    first = name == "sft"
    start, settings = ("base", study.profile.sft) if first else ("sft", continued(study.profile))

    def make(folder: Path) -> dict[str, Any]:
        from gecalign.training import rows, sft

        shown = getattr(rows, target)((examples or study.examples)(split), study.profile.prompt)
        return sft.train(study.model(start), shown, settings, study.run(folder), evaluate_early=first)

    made_from = {"start": study.identity(start), "split": split, "target": target} | made_from
    made_from |= {} if first else {"evaluated": "evenly"}
    return _train(study, name, made_from, settings, make, f"{settings.steps} updates of {settings.batch_size} rows")


def _train(
    study: Study,
    name: str,
    made_from: dict[str, str],
    settings: config.SFT | config.DPO | config.Online,
    make: Callable[[Path], dict],
    updates: str,
) -> Stage:
    spec = study.conditions | made_from | {"settings": asdict(settings)}
    spec |= {"lora": asdict(study.profile.lora)} if study.profile.lora.rank else {}
    yardstick = study.profile.yardstick
    spec |= {"yardstick": asdict(yardstick)} if yardstick != config.Yardstick() else {}
    announce = f"{updates}; a progress bar follows." if bars.watched() else f"{updates}."
    return store.obtain(study.folder, name, spec, make, announce=announce, shared=True)
