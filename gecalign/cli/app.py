"""What all commands share: the app, its options, a study as it was asked for, and how things are told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gecalign import settings
from gecalign.runtime import console, files

if TYPE_CHECKING:
    from gecalign.study import Study

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How do SFT, DPO and GRPO compare on grammatical error correction? Runs the study behind the book.",
)

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="what to run; see `gecalign profiles`")]
SeedOption = Annotated[int, typer.Option("--seed", "-s", help="covers data order, sampling and training")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="change a value of the profile: part.field=value; may be repeated, the last counts"),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-checks", help="begin without the checks that come before what takes long")
]

ReferencesOption = Annotated[
    list[Path] | None, typer.Option(parser=files.path, help="the corrections; may be repeated")
]
TokenizedOption = Annotated[
    bool, typer.Option("--tokenized", help="texts are tokens with blanks between them (JFLEG): split them there alone")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]

COMPARED = ("copy", "base", "sft", "sft-continued", "dpo", "grpo")  # what `run all` evaluates


def study_of(profile: str, seed: int, changes: list[str] | None) -> Study:
    """Return the study of a profile with the changes of `--set`."""
    from gecalign import config
    from gecalign.study import Study

    chosen = config.profile(profile)
    return Study(config.assign(chosen, settings.read(changes or []), mark="."), seed)


def guard(study: Study, products: Sequence[str]) -> None:
    """Look at a study before something long is made, and refuse where a check fails."""
    from gecalign.checks import doctor as checks

    checks.guard(study, products)


def print_warnings(study: Study, systems: Sequence[str], whose: str = "") -> None:
    """Say what is wrong with trained systems, and with the SFT that they start from, also where they are old."""
    from gecalign.runtime import store
    from gecalign.study.stages import TRAINED
    from gecalign.training import health

    for system in dict.fromkeys(("sft", *systems)) if {*systems} & {*TRAINED} else ():
        with suppress(store.NotMade), store.only_existing():
            start = study.sft().facts[f"dev_{study.profile.yardstick.metric}"]
            if system in TRAINED and (warning := health.warning_of(study.trained(system), start)):
                console.tell(f"{whose}{system}: {settings.as_typed(warning)}", err=True)


def print_table(rows: dict[str, dict[str, float | None]], n: int) -> None:
    """Print scores and rates, a column a system."""
    import pandas as pd

    table = pd.DataFrame(rows).map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    console.tell(f"{n} sentences; scores 0-100, rates 0-1\n{table.to_string()}")
