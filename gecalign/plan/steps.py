"""What a study will take, before anything is loaded: updates, samples, tokens, disk, memory, time, step by step.

A step is what makes one product: the corpus, samples, pairs, a training, an evaluation. What exists already is marked,
and costs nothing. How many and how long texts are comes from `sizes`, what they take from `costs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from gecalign import config, systems
from gecalign.models import memory
from gecalign.models.memory import Rows
from gecalign.plan import sizes
from gecalign.plan.costs import BYTES_A_TOKEN, SECONDS_A_ROW, Costs, Held, Step
from gecalign.plan.machines import Machine, this_machine
from gecalign.plan.rates import Speed
from gecalign.runtime import store
from gecalign.study import designs, results, trained

if TYPE_CHECKING:
    from gecalign.runtime.store import Stage
    from gecalign.study import Study

LARGE = 20_000_000  # parameters: more are slow to train without a GPU
PAIRS = {
    "dpo": "pairs", "dpo-reference": "pairs, reference chosen", "dpo-two-temperatures": "pairs, two temperatures",
}  # fmt: skip
NO_CLOCK = Speed(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a study with one seed or several, and what was supposed about them."""

    profile: str
    seeds: int
    machine: Machine
    steps: tuple[Step, ...]
    passing_disk: int  # bytes of checkpoints while a training runs
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    rates: Speed | None = None

    @property
    def seconds(self) -> float:
        """Seconds of all that is still to be made, one step after the other."""
        return sum(step.left for step in self.steps)

    @property
    def disk(self) -> int:
        """Bytes that are still to be written, those of checkpoints included."""
        return self.passing_disk + sum(step.disk for step in self.steps if step.took is None)

    @property
    def memory(self) -> int:
        """Bytes that a process takes at the peak."""
        return max(step.memory for step in self.steps)

    def to_json(self) -> str:
        """Return the plan as JSON: steps, totals, what it supposes."""
        totals = {"seconds": self.seconds, "disk": self.disk, "memory": self.memory}
        return json.dumps(asdict(self) | {"totals": totals}, indent=2)


def make(study: Study, seeds: int = 1, machine: Machine | None = None, rates: Speed | None = None) -> Plan:
    """Plan all that `gecalign study` makes, and the reward check; loads no model and asks no hub.

    Args:
        seeds: how many, from the seed of the study on.
        machine: what to plan for; None: the machine at hand.
        rates: how fast it is; None: measured here, in seconds, where `machine` is None too; else times are 0.

    Raises:
        ValueError: nothing is known about the corpus or the model, or there is no seed.
    """
    config.check_seeds(seeds)
    elsewhere = machine is not None and rates is None
    rates = NO_CLOCK if elsewhere else rates
    machine = machine or this_machine(study.profile)
    found, shape = sizes.of(study), memory.shape(study.profile.model)
    costs = Costs(study.profile, found, shape, machine, rates or NO_CLOCK)
    words = [*found.assumptions, *_supposed(study.profile, found)]
    if rates is None:
        rates = costs.rates = costs.measured()
        words.append(
            f"Speed: measured here with random weights of the model's width, {rates.token * 1000:.2g} s for 1,000 "
            f"tokens trained on, {rates.step + 64 * rates.row:.2g} s for 64 texts to grow by a token."
        )
    with store.only_existing():
        steps = tuple(_Planner(study, costs).steps(range(study.seed, study.seed + seeds)))
    if elsewhere:
        steps = tuple(replace(step, seconds=0.0) for step in steps)
    warnings = [f"{', '.join(names)}: {why}" for why, names in costs.does_not_fit.items()]
    if not machine.accelerator and shape.parameters > LARGE:
        warnings.append(
            f"There is no GPU here, and a model of {shape.parameters / 1e6:,.0f} million parameters wants one. The "
            "profile tiny is made for CPUs."
        )
    return Plan(study.profile.name, seeds, machine, steps, costs.checkpoints, tuple(words), tuple(warnings), rates)


def by_system(study: Study, seeds: int) -> dict[tuple[int, str], float]:
    """Return the seconds that each system of each seed still takes: its training and its evaluations."""
    seconds = {(study.seed + i, system): 0.1 for i in range(seeds) for system in systems.RECORDED}
    for step in make(study, seeds).steps:
        if (step.seed, step.system) in seconds:
            seconds[step.seed, step.system] += step.left
    return seconds


class _Planner:
    """The steps of one study, and how much of what each takes."""

    def __init__(self, study: Study, costs: Costs):
        self.study, self.costs, self.sizes, self.rates = study, costs, costs.sizes, costs.rates

    # ---- what there is to make

    def steps(self, seeds: range) -> Iterator[Step]:
        rows = sum(self.sizes.rows.values())
        per_row = BYTES_A_TOKEN * (3 * self.sizes.text + 20)  # source, reference, demonstration, what surrounds them
        data = Step("data", "", seeds[0], disk=round(rows * per_row), seconds=rows * SECONDS_A_ROW)
        yield _noted(data, lambda: self.study.variant(self.study.profile).corpus)
        for seed in seeds:
            one = type(self.study)(self.study.profile, seed, self.study.root.parent)
            yield from self._of_seed(one)

    def _of_seed(self, study: Study) -> Iterator[Step]:
        for system in systems.RECORDED:
            if system not in systems.UNTRAINED:
                yield from self._made(study, system)
            for split, decoding in results.evaluations(system):
                step = self._evaluation(study, system, split, decoding)
                asked = results.decoding(study.profile, decoding)
                yield _noted(step, lambda s=system, on=split, by=asked: study.evaluation(s, on, by).stage)  # type: ignore[misc]
        yield _noted(self._reward_check(study), lambda: _reward_check(study))

    def _made(self, study: Study, system: str) -> Iterator[Step]:
        """Yield a training, after what only it needs, or needs first."""
        profile, variant = study.profile, study
        if system == "random-of-k":  # the first to need them
            yield _noted(self._samples(study, "samples", system), study.samples)
        if system == "dpo-two-temperatures":
            variant = trained.two_temperatures(study)
            yield _noted(self._samples(variant, "samples, two temperatures", system), variant.samples)
        if system == "dpo-reference":
            variant = study.variant(profile.variant(pairs__selection="reference"))
        if system.startswith("dpo"):
            pairs = Step(PAIRS[system], system, study.seed, prompts=self._prompted(variant))
            drawn = self._prompted(variant) * variant.profile.pairs.samples
            disk = round(2 * BYTES_A_TOKEN * 6 * self.sizes.text * profile.pairs.count)
            yield _noted(replace(pairs, disk=disk, seconds=drawn * SECONDS_A_ROW), variant.pairs)
        yield _noted(self._training(variant, system), lambda: study.trained(system))

    # ---- trainings

    def _training(self, study: Study, system: str) -> Step:
        profile = study.profile
        if system.startswith("grpo"):
            size = system.removeprefix("grpo-")
            settings = designs.of_size(profile, int(size)).grpo if size.isdigit() else profile.grpo
            return self._grpo(study, system, settings)
        if system.startswith("dpo"):
            return self._dpo(study, system)
        if system in ("sft", "sft-unmasked"):
            return self._sft(study, system, profile.sft, early=True)
        return self._sft(study, system, trained.continued(profile), early=False)

    def _sft(self, study: Study, system: str, settings: config.SFT, early: bool) -> Step:
        from gecalign.training import arguments

        rows = settings.steps * settings.batch_size
        at = (arguments.evaluation_steps if early else arguments.even_steps)(settings.steps, settings.evaluations)
        dev, row = self.sizes.rows["dev"], self.sizes.prompt + self.sizes.text
        seconds = rows * row * self.rates.token + (len(at) + 1) * dev * row * self.rates.read
        step = Step(system, system, study.seed, settings.steps, rows, trained_tokens=round(rows * row))
        held = Held(Rows(self.costs.longest_row(settings)))
        return self.costs.training(step, settings, held, seconds, len(at) + 1)

    def _dpo(self, study: Study, system: str) -> Step:
        from gecalign.training import arguments

        settings, pairs = study.profile.dpo, study.profile.pairs
        count = min(pairs.count, self._prompted(study))
        held_out = min(pairs.held_out, self._prompted(study) - count)
        updates = settings.epochs * -(-count // settings.batch_size)
        evaluations = len(arguments.even_steps(updates, settings.evaluations)) + 1
        row, new = self.sizes.prompt + self.sizes.text, study.profile.decoding.max_new_tokens
        held = Held(Rows(self.costs.longest_prompt() + new, texts=2, scored=new), models=2)
        step = Step(system, system, study.seed, updates, count, trained_tokens=round(2 * settings.epochs * count * row))
        micro = self.costs.micro_batch(system, settings, held)[0] or 1
        row = self.sizes.prompt / 2 + self.sizes.text  # the two texts of a pair share their prompt
        if self._pads:
            row = self.sizes.template + 2 * self.sizes.longest(2 * micro)
        looked_at = 2 * (count + held_out * (1 + evaluations))  # by the reference, and in evaluations
        seconds = 2 * settings.epochs * count * row * self.rates.token + looked_at * row * self.rates.read
        return self.costs.training(step, settings, held, seconds, evaluations)

    def _grpo(self, study: Study, system: str, settings: config.GRPO) -> Step:
        from gecalign.training import arguments, watched

        profile, processes = study.profile, self.costs.machine.processes
        evaluations = len(arguments.even_steps(settings.steps, settings.evaluations))
        samples, new = settings.steps * settings.batch_size, profile.decoding.max_new_tokens
        generations = -(-settings.steps // settings.updates_per_generation)
        at_once = self.costs.share(settings.batch_size * settings.updates_per_generation)
        groups = max(1.0, at_once / settings.group_size)
        written = self.sizes.longest(at_once)
        looked_on = 1 + (settings.beta > 0)  # references
        held = Held(Rows(self.costs.longest_prompt() + new, scored=new), 1 + looked_on, frozen=1, texts=at_once)
        micro = self.costs.micro_batch(system, settings, held)[0] or 1
        row = self.sizes.prompt * min(groups, micro) / micro + self.sizes.text  # samples of a prompt share it
        if self._pads:
            row = self.sizes.template + self.sizes.longest(groups) + written
        kl = 1.0 if settings.beta else 1 / watched.KL_EVERY  # of the samples, seen by the reference
        prompts = groups * self.sizes.prompt
        writing = generations * self.rates.writing(at_once, at_once, prompts, written, self.sizes.text)
        learning = samples * row * (self.rates.token + kl * self.rates.read) / processes
        scoring = samples * SECONDS_A_ROW
        step = Step(
            system, system, study.seed, settings.steps, samples // settings.group_size, samples,
            round(samples * (self.sizes.prompt + self.sizes.text)), round(samples * self.sizes.text),
        )  # fmt: skip
        seconds = (writing + learning + scoring) * processes
        return self.costs.training(step, settings, held, seconds, evaluations)

    @property
    def _pads(self) -> bool:
        """Whether padding is computed: on CPUs batches are packed (`gecalign.models.packed`)."""
        return self.costs.machine.accelerator

    # ---- writing

    def _samples(self, study: Study, name: str, system: str) -> Step:
        pairs, decoding = study.profile.pairs, study.profile.decoding
        asked = self._prompted(study)
        drawn = asked * pairs.samples
        warm = max(pairs.temperature, pairs.second_temperature or 0)
        several = replace(decoding, samples=pairs.samples)
        return self.costs.writing(Step(name, system, study.seed, prompts=asked, samples=drawn), several, warm)

    def _evaluation(self, study: Study, system: str, split: str, decoding: str) -> Step:
        rows = self.sizes.rows[split]
        each = study.profile.reward_check.samples if system == "best-of-n" else 1
        asked = results.decoding(study.profile, decoding)
        step = Step(f"{system} on {split}, {decoding}", system, study.seed, prompts=rows, samples=rows * each)
        if system == "copy":
            return replace(step, samples=0, seconds=rows * SECONDS_A_ROW, disk=round(rows * 300))
        warm = study.profile.reward_check.temperature if system == "best-of-n" else asked.temperature
        asked = replace(asked, samples=each)
        return self.costs.writing(step, asked, float("inf") if system == "base" else warm)

    def _reward_check(self, study: Study) -> Step:
        check, decoding = study.profile.reward_check, study.profile.decoding
        asked = min(check.prompts, self.sizes.rows[study.profile.grpo.split])
        drawn = asked * check.samples
        step = Step("reward check", "", study.seed, prompts=asked, samples=2 * drawn)
        step = self.costs.writing(step, replace(decoding, samples=check.samples), check.temperature)
        # the trainer also learns, at rate 0
        row, new = self.sizes.prompt + self.sizes.longest(check.samples), decoding.max_new_tokens
        frozen = replace(study.profile.grpo, batch_size=check.samples * min(asked, 8), micro_batch_size=None)
        held = Held(Rows(self.costs.longest_prompt() + new, scored=new), models=2, frozen=1)
        _, peak = self.costs.micro_batch(step.name, frozen, held)
        seconds = step.seconds + drawn * row * self.rates.token
        return replace(step, disk=40 * drawn, memory=max(step.memory, peak), seconds=seconds)

    def _prompted(self, study: Study) -> int:
        pairs, rows = study.profile.pairs, self.sizes.rows[study.profile.pairs.split]
        return min(pairs.prompts or rows, rows)


def _noted(step: Step, ask: Callable[[], Stage]) -> Step:
    """Return the step with the seconds it took, if its product is there."""
    try:
        return replace(step, took=float(ask().record["seconds"]))
    except store.NotMade:
        return step


def _reward_check(study: Study) -> Stage:
    with store.only_existing() as found:
        study.reward_check()
    return list(found.values())[-1]


def _supposed(profile: config.Profile, found: sizes.Sizes) -> Iterator[str]:
    yield (
        f"Outputs are as long as references, {found.text:.0f} tokens; what the base model writes, or anybody at "
        f"temperature 1, goes on to the limit of {profile.decoding.max_new_tokens}."
    )
    yield f"As many preference pairs are found as are asked for, {profile.pairs.count}."
    if profile.lora.rank:
        yield "Adapters train as fast as all weights (really up to a third faster); they are merged into whole models."
