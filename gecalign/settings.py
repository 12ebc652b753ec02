"""Settings as people type them: `part__field` where Python is written, `part.field=value` in a shell; their digest."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from gecalign import config
from gecalign.runtime.store import digest_of
from gecalign.systems import ASKED_FOR

PARTS = {
    one.name: [field.name for field in dataclasses.fields(getattr(config.TINY, one.name))]
    for one in dataclasses.fields(config.Profile) if dataclasses.is_dataclass(getattr(config.TINY, one.name))
}  # fmt: skip
# not where they are a part of a path
NAMES = re.compile(
    r"(?<![\w./\\-])(" + "|".join(f"{part}__{name}" for part in PARTS for name in PARTS[part])
    + r"|part__field)(?![\w/\\-]|\.\w)"
)  # fmt: skip
NONE, SWITCH = ("null", "none"), {"true": True, "false": False}  # in letters of either case


def as_typed(text: str) -> str:
    """Return what the library says with settings as one gives them in a shell, by `--set`.

    >>> as_typed("grpo__steps is 0: expected at least 1.")
    'grpo.steps is 0: expected at least 1.'
    """
    return NAMES.sub(lambda found: found[0].replace("__", "."), text)


def read(assignments: Sequence[str]) -> dict[str, Any]:
    """Return what `--set` was given, by address, each value read as what its setting is; of several the last counts.

    >>> read(["model.name=135", "sft.steps=1e3", "sft.micro_batch_size=None"])
    {'model.name': '135', 'sft.steps': 1000, 'sft.micro_batch_size': None}

    Raises:
        ValueError: one is no assignment.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        address, equals, text = assignment.partition("=")
        address = address.strip().replace("__", ".", 1)  # as Python and the book write it
        if not (equals and "." in address):
            raise ValueError(f"--set takes part.field=value (such as sft.steps=200), not {assignment!r}.")
        found[address] = _value(text, config.kinds(*address.split(".", 1)))
    return found


def _value(text: str, kinds: frozenset[type]) -> Any:
    word = text.strip().lower()
    if type(None) in kinds and word in NONE:
        return None
    if bool in kinds and word in SWITCH:
        return SWITCH[word]
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if str in kinds:  # 135 may be the name of a folder; what stands in quotes is what is between them
        return value if isinstance(value, str) or value is None else text
    return _number(value, int in kinds) if kinds & {int, float} else value


def _number(value: Any, whole: bool) -> Any:
    """Return the number that a text or another number is, `1e3` and `.5` as well; anything else as it came."""
    if not isinstance(value, str | float):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if whole and number.is_integer() else number


def settings_digest(profile: config.Profile) -> str:
    """Return a digest of every value that decides what a trained system is, also where `study.trials` has no column."""
    values = dataclasses.asdict(profile) | {"decoding": config.decides(profile.decoding)}
    left_out = {"name", "about", "reward_check", "engine", "mismatched_prompt"}
    left_out |= {"lora"} if profile.lora.rank == 0 else set()
    # a method that is trained only when it is asked for came later than the record: it counts where somebody changed it
    usual = config.Profile("")
    left_out |= {part for part in ASKED_FOR if part in values and getattr(profile, part) == getattr(usual, part)}
    left_out |= {"yardstick"} if profile.yardstick == config.Yardstick() else set()  # it came later, too
    return digest_of({part: values[part] for part in values if part not in left_out})
