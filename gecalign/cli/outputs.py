"""Commands about corrections and models: correct, export, score, compare."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gecalign import settings
from gecalign.cli.app import ProfileOption, SeedOption, SetOption, app, print_table, print_warnings, study_of
from gecalign.runtime import console, files, processes

if TYPE_CHECKING:
    from gecalign.cli.lines import Asker, Corrected


@app.command()
def correct(
    context: typer.Context,
    text: Annotated[
        str | None, typer.Argument(help='a sentence, such as "She go to school."; - reads lines from standard input')
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", parser=files.path, help="correct the lines of a text file, also one in .gz")
    ] = None,
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    system: Annotated[str, typer.Option(help="whose model: base, sft, dpo, grpo, ...")] = "sft",
    model: Annotated[
        Path | None,
        typer.Option(
            parser=files.path, help="a folder that `gecalign export` wrote, instead of profile, seed and system"
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="with --model: what its model was trained with, {source} where the sentence goes")
    ] = None,
    train: Annotated[bool, typer.Option(help="train a large model here and now if need be")] = False,
    plain: Annotated[bool, typer.Option(help="print the corrected text only")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print a JSON object a line: source, correction, truncated")
    ] = False,
) -> None:
    """Correct a sentence, or lines, and mark what was changed. Each line that comes in is one that goes out."""
    from gecalign.cli import lines
    from gecalign.corpus.examples import cleaned

    if as_json:
        _refuse(context, "--json", "which has a form of its own", "plain")
    if (text is None) == (file is None):
        raise ValueError(
            "expected one thing to correct: a sentence, - for the lines of standard input, or --file FILE."
        )
    form = "json" if as_json else "plain" if plain else "marked"
    loader = _loader(context, profile, seed, set_, system, model, prompt, train)
    console.prepare_texts()
    if file is not None or text == "-":
        for one in lines.each(_lines(file), loader):
            _tell_corrected(one, form, f"line {one.number}: ")
        return
    _check_sentence(str(text))
    (one,) = lines.correct([cleaned(str(text))], loader())
    if one.skipped:
        raise ValueError(f"the text is {one.skipped}. Shorten the text (one sentence a line).")
    _tell_corrected(one, form)


@app.command()
def export(
    folder: Annotated[
        Path,
        typer.Argument(parser=files.path, help="where the model goes: a folder that does not exist yet, or is empty"),
    ],
    system: Annotated[str, typer.Option(help="whose model: sft, dpo, grpo, ...")],
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    push_to: Annotated[
        str | None, typer.Option("--push-to", help="upload it, too, to this model repository on the hub: user/name")
    ] = None,
    private: Annotated[bool, typer.Option(help="with --push-to: only you can see the repository")] = False,
    force: Annotated[bool, typer.Option(help="replace an earlier export")] = False,
) -> None:
    """Write a trained model as a standard Transformers folder with a model card, and upload it if asked to."""
    from gecalign import export as exporting
    from gecalign.export import licences

    if processes.count() > 1:
        raise ValueError(f"a model is exported by one process, and there are {processes.count()}. Start one.")
    study = study_of(profile, seed, set_)
    if private and not push_to:
        raise ValueError("--private is about the repository on the hub: it needs --push-to user/name.")
    if push_to:
        licences.check_name(licences.of(study.profile.model), push_to)
    exporting.export(study, system, folder, force=force, repository=push_to)
    print_warnings(study, [system])
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.tell(f"{system} of {profile}, seed {seed}: {folder} ({size:.1f} MB)")
    if push_to:
        again = "the same command again" if force else "the same command with --force"
        console.tell(f"pushed: {exporting.push(folder, push_to, private, again)}")


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
    references: Annotated[
        list[Path] | None, typer.Option(parser=files.path, help="the corrections; may be repeated")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Score a file of corrections by every metric, beside doing nothing."""
    from gecalign import metrics
    from gecalign.metrics.predictions import read_parallel
    from gecalign.report.markup import visible

    texts = read_parallel(hypotheses, sources, references or [])
    for note in texts.notes:
        console.tell(f"gecalign: {visible(note)}", err=True)
    system = metrics.evaluate(texts.hypotheses, texts.references, texts.sources, texts.truncated)
    nothing = metrics.evaluate(texts.sources, texts.references, texts.sources)
    if as_json:
        rows = {"system": system.row(), "copy": nothing.row()}
        about = {"n": system.n, "signatures": system.signatures(), "notes": texts.notes}
        console.tell_json({**about, **rows})
        return
    print_table({"copy the input": nothing.row(), visible(hypotheses.name): system.row()}, system.n)
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
    references: Annotated[
        list[Path] | None, typer.Option(parser=files.path, help="the corrections; may be repeated")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="the file that the others are compared with; by default the first")
    ] = None,
    margin: Annotated[float, typer.Option(help="the largest difference of the metric that does not matter")] = 0.5,
    metric: Annotated[str, typer.Option(help="the one that leads: BLEU, GLEU, edit F0.5 or chrF2")] = "BLEU",
    resamples: Annotated[int, typer.Option(help="of the sentences, for intervals and p-values")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", "-s", help="covers resampling")] = 0,
    html: Annotated[
        Path | None, typer.Option(parser=files.path, help="write the report as a page, in one file")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare files of corrections: what the sentences can show, differences with intervals, a verdict in words."""
    from rich.console import Console
    from rich.markup import escape

    from gecalign import report

    if html and (html.suffix.lower() not in (".html", ".htm") or not html.absolute().parent.is_dir()):
        raise ValueError(f"--html writes a page: expected name.html in a folder that exists, not {html}.")
    if html:
        files.check_file(html, "--html")
    named = report.named(predictions)
    chosen = report.find(baseline, named) if baseline is not None else None
    read = report.read(named, sources, references or [])
    with Console(stderr=True).status("reading") as status, _said_of_options("margin", "resamples"):
        settings = report.Settings(chosen, metric, margin, resamples, seed)
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


def _refuse(context: typer.Context, given: str, why: str, *names: str) -> None:
    """Raise ValueError where one of these options was given beside another that rules it out."""
    sources = {name: context.get_parameter_source(name) for name in names}
    if others := [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
        option = f"--{others[0].rstrip('_').replace('_', '-')}"
        raise ValueError(f"{option} does not go with {given}, {why}. Leave one of them out.")


def _loader(
    context: typer.Context, profile: str, seed: int, set_: list[str] | None, system: str, model: Path | None,
    prompt: str | None, train: bool,
) -> Callable[[], Asker]:  # fmt: skip
    """Look at what `correct` is asked with, and return what loads the model: not before there is a line to correct."""
    from gecalign import export as exporting
    from gecalign.cli.lines import Asker
    from gecalign.study import existing

    if model is not None:
        _refuse(context, "--model", "which brings its own", "profile", "seed", "set_", "system", "train")
        exporting.check(model, prompt)

        def exported() -> Asker:
            found = exporting.load(model, prompt)
            for warning in exporting.warnings(model):
                console.tell(f"({settings.as_typed(warning)})", err=True)
            return Asker(found.model, found.tokenizer, found.prompt, found.decoding)

        return exported
    if prompt is not None:
        raise ValueError(
            "--prompt is for a --model FOLDER. Systems of a profile are asked with --set prompt.template=..."
        )
    study = study_of(profile, seed, set_)
    if not train:
        existing.check_quick(study, system)

    def trained() -> Asker:
        asker = Asker(*study.model(system), study.profile.prompt, study.profile.decoding, study.profile.engine)
        print_warnings(study, [system])
        return asker

    return trained


def _lines(file: Path | None) -> Iterator[str]:
    """Return the lines of a text file or of standard input, cleaned."""
    from gecalign.cli import lines
    from gecalign.corpus.rowfiles import KINDS
    from gecalign.corpus.textfiles import STANDARD_INPUT, suffix

    if file is None or file == STANDARD_INPUT:
        if sys.stdin is None:
            raise ValueError("there is no standard input. Give a sentence, or --file FILE.")
        return lines.read(console.bytes_in(), "standard input", console.encoding_of_texts(sys.stdin))
    if suffix(file) in KINDS:
        raise ValueError(f"--file takes plain text, one sentence a line, and {file} is called {suffix(file)}. Take out "
                         "the column of sentences first.")  # fmt: skip
    return lines.read_file(file)


def _check_sentence(text: str) -> None:
    from gecalign.corpus.sentences import half_of_a_character

    if not text.strip():
        raise ValueError("there is nothing to correct: the text is empty.")
    if half_of_a_character(text):  # how Python passes on bytes that it cannot read
        raise ValueError(f"the text {text!a} is not UTF-8. Write it in UTF-8, or give it by --file FILE.")
    if Path(text).suffix and Path(text).is_file():
        console.tell(f"({text} is taken as a sentence; its lines are corrected by --file {text})", err=True)


def _tell_corrected(one: Corrected, form: str, where: str = "") -> None:
    """Print what became of a line, as one line; say on standard error what a reader should know of it."""
    from gecalign.report import markup

    seen = sys.stdout.isatty()
    if form == "json":
        console.tell_json(one.row(), indent=None)
    elif form == "marked":
        console.tell(markup.to_terminal(one.source, one.correction, seen))
    elif seen:
        console.tell(markup.visible(one.correction))
    else:  # as it is: what would be changed for a terminal must reach a file
        print(one.correction, flush=True)
    if one.skipped:
        console.tell(f"({where}passed on unchanged, as it is {one.skipped})", err=True)
    if one.truncated:
        console.tell(f"({where}cut off: the output reached the length limit)", err=True)
