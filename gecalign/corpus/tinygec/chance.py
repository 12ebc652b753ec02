"""Random choices that come out the same on every machine and every Python.

Everything random in TinyGEC goes through `random.Random(seed).random()`: the one method whose
sequence Python promises to keep from version to version
(https://docs.python.org/3/library/random.html#notes-on-reproducibility).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

Option = TypeVar("Option")


def choose(rng: Random, options: Sequence[Option], weights: Sequence[float] | None = None) -> Option:
    """Draw one of `options`, evenly or in proportion to `weights`; costs one call of `rng.random()`.

    >>> choose(Random(0), ["tea", "coffee"], [1, 3])
    'coffee'

    Raises:
        ValueError: nothing to choose from, or as many weights as options are not given.
    """
    if not options:
        raise ValueError("choose() expected at least one option and got none. Pass a non-empty sequence.")
    if weights is None:
        return options[int(rng.random() * len(options))]
    if len(weights) != len(options):
        raise ValueError(f"choose() expected {len(options)} weights, one an option, and got {len(weights)}.")
    return draw(rng, options, tuple(accumulate(weights)))


def draw(rng: Random, options: Sequence[Option], cumulative: Sequence[float]) -> Option:
    """Draw one of `options` by `cumulative` weights: `choose` for tables that were summed beforehand."""
    position = bisect_right(cumulative, rng.random() * cumulative[-1])
    return options[min(position, len(options) - 1)]


def happens(rng: Random, probability: float) -> bool:
    """Return True with `probability` (0-1); costs one call of `rng.random()`."""
    return rng.random() < probability


def shuffled(rng: Random, options: Sequence[Option]) -> list[Option]:
    """Return `options` in a random order (Fisher-Yates)."""
    deck = list(options)
    for last in range(len(deck) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        deck[last], deck[other] = deck[other], deck[last]
    return deck
