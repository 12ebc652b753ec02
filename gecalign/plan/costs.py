"""What a training, or a number of texts, takes on a machine: memory, time, disk.

Memory comes from `gecalign.models.memory`, speed from `rates`, how long texts are from `sizes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gecalign import config
from gecalign.models import memory
from gecalign.models.memory import Rows
from gecalign.plan.rates import Measured, Speed, measure

if TYPE_CHECKING:
    from gecalign.models.memory import Shape
    from gecalign.plan.machines import Machine
    from gecalign.plan.sizes import Sizes

BYTES_A_TOKEN = 5  # of text in a file
CHECKPOINTS = 3  # there at once: the best, the last, and the one that is being written
SECONDS_A_ROW = 2e-4  # generating or cleaning a row, scoring a text

Settings = config.SFT | config.DPO | config.GRPO


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
class Held:
    """What a training holds in memory."""

    rows: Rows  # the largest
    models: int = 1  # that are loaded
    frozen: int = 0  # those among them that compute during an update and are not trained
    texts: int = 0  # that are written at once, beside those of evaluations


class Costs:
    """What is taken with the models and texts of one profile on one machine."""

    def __init__(self, profile: config.Profile, sizes: Sizes, shape: Shape, machine: Machine, rates: Speed):
        self.profile, self.sizes, self.shape, self.machine, self.rates = profile, sizes, shape, machine, rates
        self.does_not_fit: dict[str, list[str]] = {}  # by the reason: trainings

    @property
    def parameters(self) -> int:
        """How many parameters are trained."""
        rank = self.profile.lora.rank
        return self.shape.adapters(rank) if rank else self.shape.parameters

    @property
    def checkpoints(self) -> int:
        """Bytes of the checkpoints of a training: weights and two moments each."""
        return CHECKPOINTS * 3 * memory.FLOAT * self.parameters

    def measured(self) -> Speed:
        """Measure how fast this machine is with the rows of SFT and the texts of an update of GRPO."""
        profile = self.profile
        trained = self.micro_batch("sft", profile.sft, Held(Rows(self.longest_row(profile.sft))))[0] or 1
        work = Measured(round(self.sizes.prompt), round(self.sizes.text), trained, self.share(profile.grpo.batch_size))
        return measure(self.shape, profile.engine, work, self.parameters)

    def training(self, step: Step, settings: Settings, held: Held, seconds: float, evaluations: int) -> Step:
        """Return the step with what all trainings share: evaluations on dev, micro-batch, memory, weights on the disk.

        Args:
            seconds: of all processes together, but for the updates of the weights.
            evaluations: how many there are.
        """
        dev, decoding = self.sizes.rows["dev"], self.profile.decoding
        micro, peak = self.micro_batch(step.name, settings, held)
        writing = max(self._generation(self._at_once(decoding, dev)), self._generation(held.texts))
        kept = memory.state(self.shape, self._how()) + self._loaded(held.models)
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

    def micro_batch(self, name: str, settings: Settings, held: Held) -> tuple[int | None, int]:
        """Return the micro-batch and the peak memory; None and that of one row where it does not fit."""
        how, loaded, rows = self._how(held.frozen), self._loaded(held.models), held.rows
        if settings.batch_size % self.machine.processes:
            fault = f"{self.machine.processes} processes cannot share batches of {settings.batch_size} evenly."
            self._note(name, fault)
        batch, free = self.share(settings.batch_size), max(0, self.machine.free - loaded)
        micro = settings.micro_batch_size
        try:
            micro = micro or memory.micro_batch(batch, rows, self.shape, free, how)
        except ValueError as error:
            self._note(name, str(error))
        peak = memory.step(self.shape, how, (micro or 1) * rows.texts, rows.length, rows.scored)
        return micro, loaded + peak

    def writing(self, step: Step, decoding: config.Decoding, temperature: float) -> Step:
        """Return the step with what writing its samples takes.

        Args:
            temperature: what they are drawn at; infinite, where all go on to the limit.
        """
        greedy = temperature == 0
        tokens = self.sizes.text if temperature < float("inf") else decoding.max_new_tokens
        steps = None if temperature < 1 else decoding.max_new_tokens
        return replace(
            step,
            written_tokens=round(step.samples * tokens),
            disk=round(step.samples * BYTES_A_TOKEN * (tokens + 20)),
            memory=memory.weights(self.shape) + self._generation(self._at_once(decoding, step.samples)),
            seconds=self._writing_time(step.samples, decoding, greedy, steps, tokens) + step.samples * SECONDS_A_ROW,
        )

    def share(self, batch: int) -> int:
        """Return how much of a batch falls to one process."""
        return max(1, batch // self.machine.processes)

    def longest_prompt(self) -> int:
        """Return the tokens of the longest prompt."""
        return self.sizes.template + self.sizes.lengths[-1]

    def longest_row(self, settings: config.SFT) -> int:
        """Return the tokens of the longest row of SFT."""
        return min(settings.max_length, self.longest_prompt() + self.sizes.lengths[-1])

    def _writing_time(
        self, texts: int, decoding: config.Decoding, greedy: bool, steps: float | None = None, tokens: float = 0.0
    ) -> float:
        """Return the seconds for so many texts.

        Args:
            steps: tokens that each batch goes on for; None: to its longest.
            tokens: of a text, on average; 0: as many as a reference has.
        """
        mine = max(1, texts / self.machine.processes)
        at_once = self._at_once(decoding, texts)
        batches = max(1, round(mine / at_once))
        if steps is None:
            drawn = self.sizes.longest_of_sorted(batches) if greedy else self.sizes.longest(at_once)
            steps = min(drawn, decoding.max_new_tokens)
        prompts = mine / decoding.samples * self.sizes.prompt
        return self.rates.writing(mine, at_once, prompts, steps, tokens or self.sizes.text)

    def _at_once(self, decoding: config.Decoding, texts: float) -> int:
        fitting = decoding.batch_tokens / (self.sizes.prompt + decoding.max_new_tokens)
        return max(1, round(min(fitting, texts / self.machine.processes)))

    def _generation(self, at_once: int) -> int:
        new, prompt = self.profile.decoding.max_new_tokens, round(self.sizes.prompt)
        return memory.generation(self.shape, self._how(), at_once, prompt, new) if at_once else 0

    def _how(self, frozen: int = 0) -> memory.Training:
        profile, machine = self.profile, self.machine
        return memory.Training(
            machine.precision, machine.accelerator, profile.engine.gradient_checkpointing, profile.lora.rank,
            machine.processes, machine.sharded, frozen,
        )  # fmt: skip

    def _loaded(self, models: int) -> int:
        """Return the bytes of so many models, one of which is trained."""
        return (models - 1) * memory.weights(self.shape) + memory.kept(self.shape, self._how())

    def _note(self, name: str, fault: str) -> None:
        names = self.does_not_fit.setdefault(fault, [])
        names += [name] if name not in names else []
