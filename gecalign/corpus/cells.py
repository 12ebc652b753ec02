"""What stands in a cell of a table or under a key of a JSON object, where it is no sentence: ids and flags.

Tables know no types, and programs that write them change some: pandas makes `1.0` of `1` where another row has no id,
and `True` becomes a text. So cells are read by what they say:

- an id is missing where it is absent, null, NaN, blank, or one of the words that programs write for that; a row without
  an id is not another row with the same one. `1`, `1.0` and `"1"` are the same id; `1.10` and `1.1` are not.
- a flag is true or false by one of a few words, whatever their case; anything else is refused.
"""

from __future__ import annotations

import re

MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat"})  # in small letters
FLAGS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


def identity(value: object) -> str | None:
    """Return an id as text, None where it is missing.

    >>> identity(1.0), identity("7"), identity(float("nan"))
    ('1', '7', None)
    """
    text = str(value).strip()
    if text.lower() in MISSING:
        return None
    return text[:-2] if re.fullmatch(r"-?[0-9]+\.0", text) else text


def flag(value: object, where: str) -> bool:
    """Return what a cell says, true or false.

    Args:
        where: names the cell in the error, such as "row 3 of out.csv has as truncated".

    Raises:
        ValueError: it says neither.
    """
    known = FLAGS.get(str(value).strip().lower())
    if known is None:
        raise ValueError(f"{where} {value!r}; expected true or false (or 1 or 0, or yes or no) in every row.")
    return known
