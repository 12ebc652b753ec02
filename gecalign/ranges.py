"""What values a setting may have, declared beside it, and refused in words where it has another.

    beta: Annotated[float, above(0, "at 0 there is nothing to learn from")] = 0.1

A declaration says nothing of None: a field whose type takes None may have it. Rules between several settings stand
where these meet.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MANY = 10**9  # of rows, updates, tokens: beyond that it is a slip of the keyboard


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between two ends, which belong to it unless they are open, and perhaps one number beside them."""

    low: float
    high: float = math.inf
    why: str = ""  # what goes wrong outside
    low_open: bool = False
    high_open: bool = False
    beside: float | None = None

    def holds(self, value: object) -> bool:
        """Whether a value lies in the range; NaN and infinity lie in none."""
        if not isinstance(value, int | float) or not _finite(value):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return (above and below) or value == self.beside

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'at least'} {self.low:,}"
        high = f"{'below' if self.high_open else 'at most'} {self.high:,}"
        ends = f"a number {low}" if math.isinf(self.high) else f"{low} and {high}"
        return ends if self.beside is None else f"{self.beside:,}, or {ends}"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # of a whole number that no float holds
        return False


@dataclass(frozen=True, slots=True)
class Choice:
    """A few words; `several` of them stand with commas between them, but for the one that stands alone."""

    words: tuple[str, ...]
    why: str = ""
    several: bool = False
    alone: str = ""

    def holds(self, value: object) -> bool:
        """Whether a value is one of the words, or made of them."""
        parts = value.split(",") if self.several and isinstance(value, str) else [value]
        return all(part in self.words for part in parts) and (len(parts) == 1 or self.alone not in parts)

    def __str__(self) -> str:
        several = ", or several with commas between them" if self.several else ""
        return f"one of {', '.join(self.words)}{several}"


@dataclass(frozen=True, slots=True)
class Text:
    """Any text that is not blank, and that a file can hold; what it means is checked by what reads it."""

    why: str = ""

    def holds(self, value: object) -> bool:
        """Whether a value is such a text."""
        return isinstance(value, str) and bool(value.strip()) and not re.search("[\x00\ud800-\udfff]", value)

    def __str__(self) -> str:
        return "a text in UTF-8 that is not blank"


Limits = Range | Choice | Text


def above(low: float, why: str) -> Range:
    """Return the range of all numbers above `low`."""
    return Range(low, why=why, low_open=True)


def whole(low: int, why: str) -> Range:
    """Return the range of counts, of settings that are whole numbers: from `low` to more than anybody has."""
    return Range(low, MANY, why)


def share(why: str) -> Range:
    """Return the range of shares and probabilities."""
    return Range(0, 1, why)


def check(address: str, value: object, limits: Limits, or_none: str = "") -> None:
    """Refuse a value that its setting cannot have.

    Args:
        address: the setting as it was typed.
        or_none: how the reader writes None, where the setting may have that.

    Raises:
        ValueError: it cannot; the message names what it can have, and why.
    """
    if not (limits.holds(value) or (or_none and value is None)):
        ends = f"{limits}, or {or_none}" if or_none else f"{limits}"
        raise ValueError(f"{address} must be {ends}, but is {value!r}: {limits.why}.")
