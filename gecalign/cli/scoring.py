"""Commands about files of corrections: score, compare.

They have as many arguments as there are options: Typer reads the options off the signature of a function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gecalign.cli.app import JsonOption, ReferencesOption, TokenizedOption, app, print_table
from gecalign.runtime import console, files


@app.command()
def score(
    hypotheses: Annotated[
        Path,
        typer.Argument(
            parser=files.path,
            help="what a system wrote: JSONL, CSV, TSV, Parquet, one sentence a line; - is standard input",
        ),
    ],
    sources: Annotated[
        Path | None, typer.Option(parser=files.path, help="what was to be corrected; not needed where the file has it")
    ] = None,
    references: ReferencesOption = None,
    tokenized: TokenizedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score a file of corrections by every metric, beside doing nothing."""
    from gecalign import metrics
    from gecalign.metrics.predictions import read_parallel
    from gecalign.report.markup import visible
    from gecalign.systems import LABELS

    texts = read_parallel(hypotheses, sources, references or [])
    for note in texts.notes:
        console.tell(f"gecalign: {visible(note)}", err=True)
    system = metrics.evaluate(texts.hypotheses, texts.references, texts.sources, texts.truncated, tokenized)
    nothing = metrics.evaluate(texts.sources, texts.references, texts.sources, tokenized=tokenized)
    if as_json:
        rows = {"system": system.row(), "copy": nothing.row()}
        about = {"n": system.n, "signatures": system.signatures(), "notes": texts.notes}
        console.tell_json({**about, **rows})
        return
    name = f"./{hypotheses.name}" if hypotheses.name == LABELS["copy"] else visible(hypotheses.name)
    print_table({LABELS["copy"]: nothing.row(), name: system.row()}, system.n)
    for name, signature in system.signatures().items():
        console.tell(f"{name}: {signature}")


@app.command()
def compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            parser=files.path, help="what systems wrote: two or more files, each of any kind that `score` takes"
        ),
    ],
    sources: Annotated[
        Path | None,
        typer.Option(parser=files.path, help="what was to be corrected; not needed where the files have it"),
    ] = None,
    references: ReferencesOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="the file that the others are compared with; by default the first")
    ] = None,
    margin: Annotated[float, typer.Option(help="the largest difference of the metric that does not matter")] = 0.5,
    metric: Annotated[str, typer.Option(help="the one that leads: BLEU, GLEU, edit F0.5 or chrF2")] = "BLEU",
    resamples: Annotated[int, typer.Option(help="of the sentences, for intervals and p-values")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", "-s", help="covers resampling")] = 0,
    tokenized: TokenizedOption = False,
    html: Annotated[
        Path | None, typer.Option(parser=files.path, help="write the report as a page, in one file")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare files of corrections: what the sentences can show, differences with intervals, a verdict in words."""
    from rich.console import Console
    from rich.markup import escape

    from gecalign import report

    if html and (html.suffix.lower() not in (".html", ".htm") or not html.absolute().parent.is_dir()):
        raise ValueError(f"--html writes a page: expected name.html in a folder that exists, not {html}.")
    if html:
        files.check_file(html, "--html")
        if html.resolve() in [path.resolve() for path in (*predictions, *(references or []), sources or Path())]:
            raise ValueError(f"--html would write the page over {html}, which is read. Give it another name.")
    named = report.named(predictions)
    chosen = report.find(baseline, named) if baseline is not None else None
    read = report.read(named, sources, references or [])
    with Console(stderr=True).status("reading") as status, _said_of_options("margin", "resamples"):
        settings = report.Settings(chosen, metric, margin, resamples, seed, tokenized)
        made = report.build(read, settings, notify=lambda words: status.update(escape(words)))
        for note in made.notes if as_json else ():  # the text says them itself
            console.tell(f"gecalign: {note}", err=True)
        if html:
            from gecalign.report.html import page

            status.update("drawing the page")
            files.write_text(html, page(made))
    console.tell_json(report.to_dict(made)) if as_json else console.tell(report.to_text(made))
    if html:
        console.tell(f"the report as a page: {html}", err=True)


@contextmanager
def _said_of_options(*names: str) -> Iterator[None]:
    """Let an error about one of these settings name the option that was given."""
    try:
        yield
    except ValueError as error:
        raise ValueError(re.sub(rf"^({'|'.join(names)}) is ", r"--\1 is ", str(error))) from None
