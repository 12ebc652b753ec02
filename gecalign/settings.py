"""Names of settings: `part__field` where Python is written, `part.field` in a shell."""

from __future__ import annotations

import dataclasses
import re

from gecalign import config

PARTS = {
    one.name: [field.name for field in dataclasses.fields(getattr(config.TINY, one.name))]
    for one in dataclasses.fields(config.Profile) if dataclasses.is_dataclass(getattr(config.TINY, one.name))
}  # fmt: skip
NAMES = re.compile(r"\b(" + "|".join(f"{part}__{name}" for part in PARTS for name in PARTS[part]) + r"|part__field)\b")


def as_typed(text: str) -> str:
    """Return what the library says with settings as one gives them in a shell, by `--set`.

    >>> as_typed("grpo__steps is 0: expected at least 1.")
    'grpo.steps is 0: expected at least 1.'
    """
    return NAMES.sub(lambda found: found[0].replace("__", "."), text)
