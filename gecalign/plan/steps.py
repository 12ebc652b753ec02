"""What a study will take, before anything is loaded: updates, samples, tokens, disk, memory, time, step by step.

A step is what makes one product: the corpus, samples, pairs, a training, an evaluation. What exists already is marked,
and costs nothing. Sizes come from `sizes`, memory from `gecalign.models.memory`, speed from `rates`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from gecalign import config, systems
from gecalign.models import memory
from gecalign.plan import sizes
from gecalign.plan.rates import Speed, measure
from gecalign.runtime import store
from gecalign.study import results

if TYPE_CHECKING:
    from gecalign.models.memory import Shape
    from gecalign.runtime.store import Stage
    from gecalign.study import Study

LARGE = 20_000_000  # parameters: more are slow to train without a GPU
CHECKPOINTS = 3  # there at once: the best, the last, and the one that is being written
BYTES_A_TOKEN = 5  # of text in a file
PAIRS = {
    "dpo": "pairs", "dpo-reference": "pairs, reference chosen", "dpo-two-temperatures": "pairs, two temperatures",
}  # fmt: skip
NO_CLOCK = Speed(0.0, 0.0, 0.0, 0.0)
SECONDS_A_ROW = 2e-4  # generating or cleaning a row, scoring a text


@dataclass(frozen=True, slots=True)
class Machine:
    """What a study is planned for."""

    name: str
    accelerator: bool
    precision: str  # "bf16", "fp16" or "fp32"
    free: int  # bytes that a process can take
    processes: int = 1
    sharded: bool = False  # weights, gradients and moments among the processes


@dataclass(frozen=True, slots=True)
class Step:
    """What one product takes. Counts are of all processes together, memory and `micro_batch` are of one."""

    name: str
    system: str  # which it is made for
    seed: int
    updates: int = 0
    prompts: int = 0  # rows shown, or prompts that texts are written for
    samples: int = 0  # texts written, those of evaluations during the training included
    trained_tokens: int = 0  # prompts and completions
    written_tokens: int = 0
    disk: int = 0  # bytes that stay
    memory: int = 0  # bytes at the peak
    micro_batch: int | None = None  # rows, pairs or completions at once; None: nothing is trained, or it does not fit
    seconds: float = 0.0
    took: float | None = None  # seconds that it really took, where it is there already

    @property
    def is_evaluation(self) -> bool:
        """Whether outputs on a split are written and scored."""
        return " on " in self.name

    @property
    def left(self) -> float:
        """Seconds that are still to come."""
        return self.seconds if self.took is None else 0.0


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
    rates: Speed | None = field(default=None)

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


def this_machine(profile: config.Profile) -> Machine:
    """Return the machine at hand, as this process sees it."""
    import os

    import torch

    from gecalign.models import loading
    from gecalign.runtime import processes

    device, count = loading.device(), processes.count()
    on_cpu, free = device.type == "cpu", memory.free(profile.engine)
    name = f"{os.cpu_count()} CPU cores" if on_cpu else device.type
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    free //= count if on_cpu else 1
    return Machine(name, not on_cpu, loading.precision(profile.engine), free, count, processes.sharded())


def gpu(gigabytes: float) -> Machine:
    """Return a machine with a GPU of so many GB that has bf16; a gigabyte is left to the system.

    Raises:
        ValueError: it would have no more than that.
    """
    if not 1 < gigabytes < math.inf:
        raise ValueError(f"--gpu is {gigabytes:g}; expected the GPU's memory in GB, more than 1.")
    return Machine(f"a GPU with {gigabytes:g} GB", True, "bf16", int((gigabytes - 1) * 1e9))


def make(study: Study, seeds: int = 1, machine: Machine | None = None, rates: Speed | None = None) -> Plan:
    """Plan all that `gecalign study` makes, and the reward check; loads no model and asks no hub.

    Args:
        seeds: how many, from the seed of the study on.
        machine: what to plan for; None: the machine at hand.
        rates: how fast it is; None: measured here, in seconds, where `machine` is None too; else times are 0.

    Raises:
        ValueError: nothing is known about the corpus or the model, or there is no seed.
    """
    if seeds < 1:
        raise ValueError(f"--seeds is {seeds}; expected at least 1.")
    elsewhere = machine is not None and rates is None
    rates = NO_CLOCK if elsewhere else rates
    machine = machine or this_machine(study.profile)
    found, shape = sizes.of(study), memory.shape(study.profile.model)
    planner = _Planner(study, found, shape, machine, rates or NO_CLOCK)
    words = [*found.assumptions, *_supposed(study.profile, found)]
    if rates is None:
        rates = planner.rates = planner.measured()
        words.append(
            f"Speed: measured here with random weights of the model's width, {rates.token * 1000:.2g} s for 1,000 "
            f"tokens trained on, {rates.step + 64 * rates.row:.2g} s for 64 texts to grow by a token."
        )
    with store.only_existing():
        steps = tuple(planner.steps(range(study.seed, study.seed + seeds)))
    if elsewhere:
        steps = tuple(replace(step, seconds=0.0) for step in steps)
    trained = shape.adapters(study.profile.lora.rank) if study.profile.lora.rank else shape.parameters
    passing = CHECKPOINTS * 3 * memory.FLOAT * trained  # weights and two moments
    warnings = [f"{', '.join(names)}: {why}" for why, names in planner.does_not_fit.items()]
    if not machine.accelerator and shape.parameters > LARGE:
        warnings.append(
            f"There is no GPU here, and a model of {shape.parameters / 1e6:,.0f} million parameters wants one. The "
            "profile tiny is made for CPUs."
        )
    return Plan(study.profile.name, seeds, machine, steps, passing, tuple(words), tuple(warnings), rates)


def by_system(study: Study, seeds: int) -> dict[tuple[int, str], float]:
    """Return the seconds that each system of each seed still takes: its training and its evaluations."""
    seconds = {(study.seed + i, system): 0.1 for i in range(seeds) for system in systems.RECORDED}
    for step in make(study, seeds).steps:
        if (step.seed, step.system) in seconds:
            seconds[step.seed, step.system] += step.left
    return seconds


class _Planner:
    """The steps of one profile on one machine."""

    def __init__(self, study: Study, found: sizes.Sizes, shape: Shape, machine: Machine, rates: Speed):
        self.study, self.sizes, self.shape, self.machine, self.rates = study, found, shape, machine, rates
        self.does_not_fit: dict[str, list[str]] = {}  # by the reason: trainings

    def measured(self) -> Speed:
        profile, new = self.study.profile, round(self.sizes.text)
        grpo = self._share(profile.grpo.batch_size)
        row = self._longest_row(profile.sft)
        trained = self._micro_batch("sft", profile.sft, row, 1, 1)[0] or 1
        parameters = self.shape.adapters(profile.lora.rank) if profile.lora.rank else self.shape.parameters
        return measure(self.shape, profile.engine, round(self.sizes.prompt), new, trained, grpo, parameters)

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
            variant = study.variant(_two_temperatures(profile))
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
            return self._grpo(study, system, _grouped(profile, int(size)) if size.isdigit() else profile.grpo)
        if system.startswith("dpo"):
            return self._dpo(study, system)
        if system in ("sft", "sft-unmasked"):
            return self._sft(study, system, profile.sft, early=True)
        continued = replace(profile.sft, steps=profile.grpo.steps, **asdict(profile.continued))
        return self._sft(study, system, continued, early=False)

    def _sft(self, study: Study, system: str, settings: config.SFT, early: bool) -> Step:
        from gecalign.training import arguments

        rows = settings.steps * settings.batch_size
        at = (arguments.evaluation_steps if early else arguments.even_steps)(settings.steps, settings.evaluations)
        dev, row = self.sizes.rows["dev"], self.sizes.prompt + self.sizes.text
        seconds = rows * row * self.rates.token + (len(at) + 1) * dev * row * self.rates.read
        step = Step(system, system, study.seed, settings.steps, rows, trained_tokens=round(rows * row))
        longest = self._longest_row(settings)
        return self._trained(step, settings, longest, seconds, evaluations=len(at) + 1)

    def _dpo(self, study: Study, system: str) -> Step:
        from gecalign.training import arguments

        settings, pairs = study.profile.dpo, study.profile.pairs
        count = min(pairs.count, self._prompted(study))
        held_out = min(pairs.held_out, self._prompted(study) - count)
        updates = settings.epochs * -(-count // settings.batch_size)
        evaluations = len(arguments.even_steps(updates, settings.evaluations)) + 1
        row, new = self.sizes.prompt + self.sizes.text, study.profile.decoding.max_new_tokens
        longest = self._longest_prompt() + new
        step = Step(system, system, study.seed, updates, count, trained_tokens=round(2 * settings.epochs * count * row))
        micro = self._micro_batch(system, settings, longest, 2, 2, scored=new)[0] or 1
        padded = self.sizes.template + 2 * self.sizes.longest(2 * micro)
        looked_at = 2 * (count + held_out * (1 + evaluations))  # by the reference, and in evaluations
        seconds = 2 * settings.epochs * count * padded * self.rates.token + looked_at * padded * self.rates.read
        return self._trained(step, settings, longest, seconds, evaluations, 2, 2, scored=new)

    def _grpo(self, study: Study, system: str, settings: config.GRPO) -> Step:
        from gecalign.training import arguments

        profile, evaluations = study.profile, len(arguments.even_steps(settings.steps, settings.evaluations))
        samples, new = settings.steps * settings.batch_size, profile.decoding.max_new_tokens
        generations = -(-settings.steps // settings.updates_per_generation)
        at_once = self._share(settings.batch_size * settings.updates_per_generation)
        groups = max(1.0, at_once / settings.group_size)
        written = self.sizes.longest(at_once)
        padded = self.sizes.template + self.sizes.longest(groups) + written
        looked_on = 1 + (settings.beta > 0)  # references
        writing = generations * self.rates.writing(at_once, at_once, self.sizes.prompt, written)
        learning = samples * padded * (self.rates.token + looked_on * self.rates.read) / self.machine.processes
        scoring = samples * SECONDS_A_ROW
        step = Step(
            system, system, study.seed, settings.steps, samples // settings.group_size, samples,
            round(samples * (self.sizes.prompt + self.sizes.text)), round(samples * self.sizes.text),
        )  # fmt: skip
        longest = self._longest_prompt() + new
        return self._trained(
            step, settings, longest, (writing + learning + scoring) * self.machine.processes, evaluations,
            models=1 + looked_on, frozen=1, scored=new, at_once=at_once,
        )  # fmt: skip

    def _trained(
        self, step: Step, settings: config.SFT | config.DPO | config.GRPO, longest: int, seconds: float,
        evaluations: int, models: int = 1, texts: int = 1, frozen: int = 0, scored: int | None = None, at_once: int = 0,
    ) -> Step:  # fmt: skip
        """Return the step with what all trainings share: evaluations on dev, micro-batch, memory, weights on the disk.

        Args:
            seconds: of all processes together, but for the updates of the weights.
            models: that are loaded.
            at_once: texts that are written at once, beside those of evaluations.
        """
        dev, decoding = self.sizes.rows["dev"], self.study.profile.decoding
        micro, peak = self._micro_batch(step.name, settings, longest, models, texts, frozen, scored)
        writing = max(self._generation(self._at_once(decoding, dev)), self._generation(at_once))
        kept = memory.state(self.shape, self._how()) + self._loaded(models)
        updates = step.updates * self.rates.update
        evaluating = evaluations * self._writing_time(dev, decoding, greedy=True)
        return replace(
            step,
            samples=step.samples + evaluations * dev,
            written_tokens=step.written_tokens + round(evaluations * dev * self.sizes.text),
            disk=memory.weights(self.shape),
            memory=max(peak, kept + writing),
            micro_batch=micro,
            seconds=seconds / self.machine.processes + updates + evaluating,
        )

    # ---- writing

    def _samples(self, study: Study, name: str, system: str) -> Step:
        pairs, decoding = study.profile.pairs, study.profile.decoding
        asked = self._prompted(study)
        drawn = asked * pairs.samples
        warm = max(pairs.temperature, pairs.second_temperature or 0)
        return self._written(Step(name, system, study.seed, prompts=asked, samples=drawn), decoding, warm)

    def _evaluation(self, study: Study, system: str, split: str, decoding: str) -> Step:
        rows = self.sizes.rows[split]
        each = study.profile.reward_check.samples if system == "best-of-n" else 1
        asked = results.decoding(study.profile, decoding)
        step = Step(f"{system} on {split}, {decoding}", system, study.seed, prompts=rows, samples=rows * each)
        if system == "copy":
            return replace(step, samples=0, seconds=rows * SECONDS_A_ROW, disk=round(rows * 300))
        warm = study.profile.reward_check.temperature if system == "best-of-n" else asked.temperature
        return self._written(step, asked, float("inf") if system == "base" else warm)

    def _reward_check(self, study: Study) -> Step:
        check, decoding = study.profile.reward_check, study.profile.decoding
        asked = min(check.prompts, self.sizes.rows[study.profile.grpo.split])
        drawn = asked * check.samples
        step = self._written(
            Step("reward check", "", study.seed, prompts=asked, samples=2 * drawn), decoding, check.temperature
        )
        # the trainer also learns, at rate 0
        row, new = self.sizes.prompt + self.sizes.longest(check.samples), decoding.max_new_tokens
        frozen = replace(study.profile.grpo, batch_size=check.samples * min(asked, 8), micro_batch_size=None)
        _, peak = self._micro_batch(step.name, frozen, self._longest_prompt() + new, 2, 1, frozen=1, scored=new)
        seconds = step.seconds + drawn * row * self.rates.token
        return replace(step, disk=40 * drawn, memory=max(step.memory, peak), seconds=seconds)

    def _written(self, step: Step, decoding: config.Decoding, temperature: float) -> Step:
        """Return the step with what writing its samples takes."""
        greedy = temperature == 0
        tokens = self.sizes.text if temperature < float("inf") else decoding.max_new_tokens
        steps = None if temperature < 1 else decoding.max_new_tokens
        return replace(
            step,
            written_tokens=round(step.samples * tokens),
            disk=round(step.samples * BYTES_A_TOKEN * (tokens + 20)),
            memory=memory.weights(self.shape) + self._generation(self._at_once(decoding, step.samples)),
            seconds=self._writing_time(step.samples, decoding, greedy, steps) + step.samples * SECONDS_A_ROW,
        )

    def _writing_time(self, texts: int, decoding: config.Decoding, greedy: bool, steps: float | None = None) -> float:
        """Return the seconds for so many texts; `steps`: tokens that each batch goes on for, None: to its longest."""
        mine = max(1, texts / self.machine.processes)
        at_once = self._at_once(decoding, texts)
        batches = max(1, round(mine / at_once))
        if steps is None:
            drawn = self.sizes.longest_of_sorted(batches) if greedy else self.sizes.longest(at_once)
            steps = min(drawn, decoding.max_new_tokens)
        return self.rates.writing(mine, at_once, self.sizes.prompt, steps)

    def _at_once(self, decoding: config.Decoding, texts: float) -> int:
        fitting = decoding.batch_tokens / (self.sizes.prompt + decoding.max_new_tokens)
        return max(1, round(min(fitting, texts / self.machine.processes)))

    def _generation(self, at_once: int) -> int:
        new, prompt = self.study.profile.decoding.max_new_tokens, round(self.sizes.prompt)
        return memory.generation(self.shape, self._how(), at_once, prompt, new) if at_once else 0

    # ---- memory

    def _how(self, frozen: int = 0) -> memory.Training:
        profile, machine = self.study.profile, self.machine
        return memory.Training(
            machine.precision, machine.accelerator, profile.engine.gradient_checkpointing, profile.lora.rank,
            machine.processes, machine.sharded, frozen,
        )  # fmt: skip

    def _loaded(self, models: int) -> int:
        """Return the bytes of so many models, one of which is trained."""
        return (models - 1) * memory.weights(self.shape) + memory.kept(self.shape, self._how())

    def _micro_batch(
        self, name: str, settings: config.SFT | config.DPO | config.GRPO, longest: int, models: int, texts: int,
        frozen: int = 0, scored: int | None = None,
    ) -> tuple[int | None, int]:  # fmt: skip
        """Return the micro-batch and the peak memory; None and that of one row where it does not fit."""
        how, loaded = self._how(frozen), self._loaded(models)
        if settings.batch_size % self.machine.processes:
            fault = f"{self.machine.processes} processes cannot share batches of {settings.batch_size} evenly."
            self._note(name, fault)
        batch, free = self._share(settings.batch_size), max(0, self.machine.free - loaded)
        micro = settings.micro_batch_size
        try:
            micro = micro or memory.micro_batch(batch, longest, self.shape, free, how, texts=texts, scored=scored)
        except ValueError as error:
            self._note(name, str(error))
        return micro, loaded + memory.step(self.shape, how, (micro or 1) * texts, longest, scored)

    def _note(self, name: str, fault: str) -> None:
        names = self.does_not_fit.setdefault(fault, [])
        names += [name] if name not in names else []

    def _share(self, batch: int) -> int:
        return max(1, batch // self.machine.processes)

    def _longest_prompt(self) -> int:
        return self.sizes.template + self.sizes.lengths[-1]

    def _longest_row(self, settings: config.SFT) -> int:
        return min(settings.max_length, self._longest_prompt() + self.sizes.lengths[-1])

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


def _grouped(profile: config.Profile, size: int) -> config.GRPO:
    from gecalign.study import designs

    design = "equal samples" if "equal samples" in designs.possible(profile) else "equal steps"
    return designs.variant(profile, design, size).grpo


def _two_temperatures(profile: config.Profile) -> config.Profile:
    from gecalign.study.trained import SECOND_TEMPERATURE

    return profile.variant(pairs__second_temperature=SECOND_TEMPERATURE)


def _supposed(profile: config.Profile, found: sizes.Sizes) -> Iterator[str]:
    yield (
        f"Outputs are as long as references, {found.text:.0f} tokens; what the base model writes, or anybody at "
        f"temperature 1, goes on to the limit of {profile.decoding.max_new_tokens}."
    )
    yield f"As many preference pairs are found as are asked for, {profile.pairs.count}."
    if profile.lora.rank:
        yield "Adapters train as fast as all weights (really up to a third faster); they are merged into whole models."
