"""Commands that ask a model, or pass it on: correct, export.

They have as many arguments as there are options: Typer reads the options off the signature of a function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gecalign import settings
from gecalign.cli.app import ProfileOption, SeedOption, SetOption, app, print_warnings, study_of
from gecalign.runtime import console, files, processes

if TYPE_CHECKING:
    from gecalign.cli.lines import Asker, Corrected
    from gecalign.study import Study


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
    if model is not None:
        _refuse(context, "--model", "which brings its own", "profile", "seed", "set_", "system", "train")
        loader = _exported(model, prompt)
    elif prompt is not None:
        raise ValueError(
            "--prompt is for a --model FOLDER. Systems of a profile are asked with --set prompt.template=..."
        )
    else:
        loader = _trained(study_of(profile, seed, set_), system, train)
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


def _refuse(context: typer.Context, given: str, why: str, *names: str) -> None:
    """Raise ValueError where one of these options was given beside another that rules it out."""
    sources = {name: context.get_parameter_source(name) for name in names}
    if others := [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
        option = f"--{others[0].rstrip('_').replace('_', '-')}"
        raise ValueError(f"{option} does not go with {given}, {why}. Leave one of them out.")


def _exported(folder: Path, prompt: str | None) -> Callable[[], Asker]:
    """Look at an exported model, and return what loads it: not before there is a line to correct."""
    from gecalign import export as exporting
    from gecalign.cli.lines import Asker

    exporting.check(folder, prompt)

    def load() -> Asker:
        found = exporting.load(folder, prompt)
        for warning in exporting.warnings(folder):
            console.tell(f"({settings.as_typed(warning)})", err=True)
        return Asker(found.model, found.tokenizer, found.prompt, found.decoding)

    return load


def _trained(study: Study, system: str, train: bool) -> Callable[[], Asker]:
    """Look at whether a system is there, or quickly trained, and return what loads it."""
    from gecalign.cli.lines import Asker
    from gecalign.study import existing

    if not train:
        existing.check_quick(study, system)

    def load() -> Asker:
        asker = Asker(*study.model(system), study.profile.prompt, study.profile.decoding, study.profile.engine)
        print_warnings(study, [system])
        return asker

    return load


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
