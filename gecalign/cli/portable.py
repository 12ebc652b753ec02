"""Commands for a study in pieces: portable pack, run, collect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecalign.cli.app import ProfileOption, SetOption, app, study_of
from gecalign.runtime import console, files

portable = typer.Typer(no_args_is_help=True, help="Run a study in pieces, also on machines that are lent for minutes.")
app.add_typer(portable, name="portable")

DEFAULT = "smollm2-135m"


@portable.command()
def pack(
    to: Annotated[Path, typer.Argument(parser=files.path, help="a new folder for the parts")],
    profile: ProfileOption = DEFAULT,
    python: Annotated[
        str | None, typer.Option(help="the target's version of Python, such as 3.12; by default this one")
    ] = None,
    platform: Annotated[str, typer.Option(help="the target, as wheels name it")] = "manylinux_2_28_x86_64",
    freeze: Annotated[
        Path | None, typer.Option(parser=files.path, help="what `pip freeze` says there: what fits is not carried")
    ] = None,
    carry: Annotated[
        list[str] | None, typer.Option(help="a package to carry whatever is there; may be repeated")
    ] = None,
) -> None:
    """Pack what a run needs, for a machine with PyTorch that reaches nothing."""
    from gecalign import config
    from gecalign.portable import packing

    usual = packing.Target()
    has = packing.frozen(freeze) if freeze else None
    target = packing.Target(python or usual.python, platform, has, tuple(carry or ()))
    console.tell(packing.describe(packing.pack(config.profile(profile), to, target)))


@portable.command()
def run(
    to: Annotated[Path, typer.Option("--to", parser=files.path, help="where the pieces go")],
    profile: ProfileOption = DEFAULT,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="seeds 0 to this, less one")] = 3,
    first: Annotated[int, typer.Option(min=0, help="begin with this seed instead of 0")] = 0,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="stop by itself after so long")] = None,
    systems: Annotated[str, typer.Option(help="only these, such as sft,dpo; by default all")] = "",
    set_: SetOption = None,
) -> None:
    """Make as many systems and seeds as the time allows; the same command goes on from there."""
    from gecalign.portable import running

    files.check_folder(to, "--to")
    wanted = [name.strip() for name in systems.split(",") if name.strip()]
    chosen = study_of(profile, first, set_).profile
    found = running.run(chosen, range(first, first + seeds), to, minutes, wanted)
    console.tell(running.in_words(found))


@portable.command()
def collect(
    sources: Annotated[list[Path], typer.Argument(parser=files.path, help="folders of pieces that came back")],
    to: Annotated[Path, typer.Option("--to", parser=files.path, help="where all pieces are kept")],
) -> None:
    """Put pieces from several machines together; say what is there, and what was there already."""
    from gecalign.study import pieces

    files.check_folder(to, "--to")
    found = pieces.merge(sources, to)
    for piece in found.other:
        name, seed = piece.key
        console.tell(f"{name}, seed {seed}, of {piece.folder} has another result than the one in {to}, which stays.")
    counts = f"{len(found.new)} new, {len(found.known)} known already"
    counts += f", {len(found.other)} left out" if found.other else ""
    console.tell(f"{counts}, {len(pieces.read(to))} in all in {to}")
