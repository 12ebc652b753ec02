"""Seeds of random numbers: which there are."""

from __future__ import annotations

import operator

LARGEST = 2**32 - 1  # that numpy takes, and with it Transformers


def check_seed(seed: int) -> int:
    """Return a seed as a plain whole number.

    Raises:
        ValueError: it is none, or none that every library takes.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise ValueError(f"seed is {seed!r}; expected a whole number from 0 to {LARGEST}.") from None
    if not 0 <= number <= LARGEST:
        raise ValueError(f"seed is {number}; expected a whole number from 0 to {LARGEST}.")
    return number
