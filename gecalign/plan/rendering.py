"""A plan to be read in a terminal: a row a product, totals, what is supposed, what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gecalign.plan.costs import Step
from gecalign.plan.steps import Plan
from gecalign.runtime.console import duration
from gecalign.systems import LABELS

# header, and what is summed in the column; the first ones are left out where there is little room
COUNTS = (
    ("updates", "updates"), ("prompts", "prompts"), ("texts", "samples"), ("tokens\ntrained", "trained_tokens"),
    ("tokens\nwritten", "written_tokens"), ("disk", "disk"),
)  # fmt: skip
WIDE = 96  # characters


@dataclass(frozen=True, slots=True)
class Row:
    """Steps of the same kind with all seeds."""

    label: str
    steps: Sequence[Step]

    @property
    def counts(self) -> list[str]:
        """Sums, in the order of `COUNTS`."""
        return [rounded(sum(getattr(step, name) for step in self.steps)) for _, name in COUNTS]

    @property
    def peak(self) -> list[str]:
        """The most memory, and how much of a batch is there at once."""
        micro = self.steps[0].micro_batch
        return [rounded(max(step.memory for step in self.steps)), "" if micro is None else str(micro)]

    @property
    def time(self) -> str:
        """How long what is missing takes."""
        left = sum(step.left for step in self.steps)
        return "done" if self.done == len(self.steps) else duration(left) if left else ""

    @property
    def done(self) -> int:
        """How many of the steps need not be made."""
        return sum(step.took is not None for step in self.steps)


def rows(plan: Plan) -> list[Row]:
    """Return the rows of the table: a product each, all evaluations together, in the order of making."""
    groups: dict[str, list[Step]] = {}
    for step in plan.steps:
        groups.setdefault("evaluations" if step.is_evaluation else step.name, []).append(step)
    last = [name for name in ("evaluations", "reward check") if name in groups]
    ordered = [name for name in groups if name not in last] + last
    return [Row(LABELS.get(name, name), groups[name]) for name in ordered]


def render(plan: Plan, width: int = WIDE) -> RenderableType:
    """Return the plan for `rich.console.Console.print`, for so many columns, at least 80."""
    left_out = 0 if width >= WIDE else 2
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for name in (*(header for header, _ in COUNTS[left_out:]), "memory", "at\nonce", "time", "done"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows(plan):
        several = f"{row.done}/{len(row.steps)}" if len(row.steps) > 1 else ""
        cells = [*row.counts[left_out:], *row.peak, row.time, several]
        table.add_row(row.label, *cells, style="dim" if row.time == "done" else None)
    seeds = "1 seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    machine = plan.machine
    processes = "" if machine.processes == 1 else f", {machine.processes} processes"
    heading = f"{plan.profile}, {seeds}, on {machine.name}{processes}, arithmetic in {machine.precision}"
    clock = f"{duration(plan.seconds)}, one after the other; " if plan.seconds else ""
    totals = (
        f"Still to come: {clock}{rounded(plan.disk)}B on the disk, checkpoints "
        f"of a running training included; {rounded(plan.memory)}B of memory at the peak, {rounded(machine.free)}B are "
        "free."
    )
    lines: list[RenderableType] = [Text(heading, "bold"), Text(), table, Text(), Text(totals)]
    lines += [Text(f"- {words}") for words in plan.assumptions]
    lines += [Text(f"Warning: {words}", "yellow") for words in plan.warnings]
    return Group(*lines)


def rounded(value: float) -> str:
    """Return a count or a number of bytes in at most four characters, and nothing for 0.

    >>> rounded(12_345), rounded(3_400_000), rounded(0)
    ('12k', '3.4M', '')
    """
    if not value:
        return ""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.1f}{unit}" if value < 9.95 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"
