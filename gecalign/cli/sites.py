"""Commands that build the book: book, elsewhere. Typer wants an argument for each option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecalign.cli.app import COMPARED, ProfileOption, SeedOption, SkipOption, app, guard, study_of
from gecalign.runtime import console, files, processes


@app.command()
def book(
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    only: Annotated[list[str] | None, typer.Option(help="a chapter, such as 02; may be repeated")] = None,
    skip_checks: SkipOption = False,
    jobs: Annotated[
        int | None, typer.Option(help="tasks that run side by side; by default one a core, at most 4, and one on a GPU")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="run chapters again, also where nothing has changed")] = False,
    early: Annotated[bool, typer.Option(help="show a first version of the site as soon as there is a chapter")] = True,
) -> None:
    """Run the chapters that have changed, making what they show, and build the site."""
    from gecalign.book import builder
    from gecalign.book.planning import Request

    if processes.count() > 1:
        raise ValueError(
            f"the book is built by one process, and there are {processes.count()}. Run the study with several "
            "(`gecalign run all`), then `gecalign book` with one: it loads what they made."
        )
    if not (skip_checks or profile in ("smoke", "tiny")):
        guard(study_of(profile, seed, None), COMPARED)
    builder.build(Request(profile, seed, only or (), jobs, again, early))


@app.command()
def elsewhere(
    profile: ProfileOption = "tiny",
    output: Annotated[
        Path | None, typer.Option(parser=files.path, help="where the tables go; by default results/elsewhere")
    ] = None,
) -> None:
    """Build the book as other machines would, with other arithmetic and other seeds, and compare what comes out."""
    import pandas as pd

    from gecalign import config
    from gecalign.book import elsewhere as others
    from gecalign.book.chapters import project_root

    config.profile(profile)  # before anything is copied or built
    root = project_root()
    target = output or root / "results" / "elsewhere"
    files.check_folder(target, "--output")
    rows = others.run(root, target, profile=profile)
    console.tell(pd.DataFrame(rows).round(2).to_string(index=False))
    if ended := [row for row in rows if not row["ended well"]]:
        raise RuntimeError(f"{len(ended)} of {len(rows)} builds did not end well: see above.")
