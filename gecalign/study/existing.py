"""What a study has made already, without making anything.

A study makes what it is asked for. Where that would be wrong, because it takes hours, or reads the test set once more,
ask it within `store.only_existing`:

    with store.only_existing() as found:
        study.trained("dpo")        # raises NotMade, or leaves all products behind it in `found`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gecalign import config
from gecalign.runtime.store import NotMade as NotMade
from gecalign.runtime.store import Stage, only_existing
from gecalign.systems import UNTRAINED

if TYPE_CHECKING:
    from gecalign.study import Study


QUICK = ("smoke", "tiny")  # profiles whose models are trained in minutes on two cores


def chain(study: Study, system: str) -> tuple[Stage, ...]:
    """Return the products that a trained system was made from, corpus first, itself last.

    Raises:
        ValueError: there is no such system, it is not trained, or nobody has trained it yet; the message says how.
    """
    try:
        with only_existing() as found:
            study.variant(study.profile).trained(system)  # a fresh study, which has nothing in memory
    except NotMade as absent:
        raise NotMade(
            f"{system} of the profile {study.profile.name} with seed {study.seed} has not been trained yet. "
            f"Train it first: {command(study, system)}"
        ) from absent
    return tuple(found.values())


def check_quick(study: Study, system: str) -> None:
    """Raise ValueError where a system would first have to be trained, and that takes more than minutes."""
    if study.profile.name in QUICK or system in UNTRAINED:
        return
    try:
        chain(study, system)
    except NotMade as absent:
        raise ValueError(f"{absent} Or add --train to do it here and now.") from None


def command(study: Study, system: str) -> str:
    """Return the shell command that trains a system."""
    name = study.profile.name
    changed = " with the same --set" if config.PROFILES.get(name) != study.profile else ""
    seed = f" --seed {study.seed}" if study.seed else ""
    return f"`gecalign run {system} --profile {name}{seed}`{changed}."
