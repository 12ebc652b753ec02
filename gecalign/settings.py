"""Settings as a whole: how they are named, `part__field` in Python and `part.field` in a shell, and their digest."""

from __future__ import annotations

import dataclasses
import re

from gecalign import config
from gecalign.runtime.store import digest_of
from gecalign.systems import ASKED_FOR

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


def settings_digest(profile: config.Profile) -> str:
    """Return a digest of every value that decides what a trained system is, also where `study.trials` has no column."""
    values = dataclasses.asdict(profile)
    left_out = {"name", "about", "reward_check", "engine", "mismatched_prompt"}
    left_out |= {"lora"} if profile.lora.rank == 0 else set()
    # a method that is trained only when it is asked for came later than the record: it counts where somebody changed it
    left_out |= {part for part in ASKED_FOR if getattr(profile, part) == getattr(config.Profile(""), part)}
    return digest_of({part: values[part] for part in values if part not in left_out})
