"""The same functions from a shell: `gecalign --help`.

Everything heavy is imported inside the commands, so that `--help` answers at once. Errors that a user can
mend are printed as one line; GECALIGN_DEBUG=1 shows where they come from.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gecalign import settings
from gecalign.runtime import bars, console, files, processes

if TYPE_CHECKING:
    from gecalign.lines import Asker, Corrected
    from gecalign.study import Study
    from gecalign.study.evaluation import SystemEvaluation

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

COMPARED = ("copy", "base", "sft", "sft-continued", "dpo", "grpo")
INTERRUPTED = 130  # how typer ends where somebody has pressed Ctrl-C
RESUMED = (
    "run",
    "doctor",
    "trial",
    "map",
    "sweep",
    "study",
    "book",
    "elsewhere",
)  # commands that go on where they stopped
TRIALS, GROUP_SIZES = Path("results/trials.csv"), Path("results/group-sizes.csv")


@app.command()
def profiles(
    show: Annotated[str | None, typer.Argument(help="a profile to show in full")] = None,
) -> None:
    """List the profiles, or show all values of one."""
    from dataclasses import asdict

    from gecalign import config

    if show:
        console.tell_json(asdict(config.profile(show)))
        return
    for profile in config.PROFILES.values():
        console.tell(f"{profile.name:<14} {profile.about}")


@app.command()
def run(
    what: Annotated[
        str, typer.Argument(help="data, a trained system, samples, pairs, or all: the test scores")
    ] = "all",
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    skip_checks: SkipOption = False,
) -> None:
    """Make a product of the study, and what it needs. What exists is loaded; what was cut off is resumed."""
    study = _study(profile, seed, set_)
    if not skip_checks:
        _guard(study, COMPARED if what == "all" else (what,))
    if what == "all":
        _print_all(study)
        return
    stage = study.product(what)
    facts = {key: settings.as_typed(fact) if key == "warning" else fact for key, fact in stage.facts.items()}
    console.tell_json({"folder": str(stage.folder), **facts})
    _print_warnings(study, [what])


@app.command()
def doctor(
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    quick: Annotated[bool, typer.Option(help="only what needs no training: seconds")] = False,
) -> None:
    """Look for what would make a long training worthless before it starts. Trains SFT, unless --quick."""
    from gecalign.checks import doctor as checks

    found = checks.with_progress(_study(profile, seed, set_), quick)
    checks.show(found)
    if any(check.status == "fail" for check in found):
        raise typer.Exit(1)


@app.command("plan")
def plan_(
    profile: ProfileOption = "tiny",
    set_: SetOption = None,
    seeds: Annotated[int, typer.Option(help="how many: 0, 1, 2, ...")] = 1,
    gpu: Annotated[
        float | None, typer.Option(help="plan for a GPU with so many GB instead of this machine: memory, no times")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what a study will take, step by step: updates, samples, tokens, disk, memory, time. Loads no model."""
    from rich.console import Console

    from gecalign import plan
    from gecalign.plan import rendering
    from gecalign.runtime import processes

    study = _study(profile, 0, set_)
    with Console(stderr=True).status("measuring how fast this machine is"):
        made = plan.make(study, seeds, plan.gpu(gpu) if gpu is not None else None)
    if processes.is_main():
        screen = Console()
        console.tell(made.to_json()) if as_json else screen.print(rendering.render(made, screen.width))


@app.command()
def trial(
    systems: Annotated[str, typer.Option(help="trained systems, with commas between them")] = "sft,dpo,grpo",
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    log: Annotated[
        Path, typer.Option(parser=files.path, help="the experiment log, to which rows are appended")
    ] = TRIALS,
    note: Annotated[str, typer.Option(help="what the trial is to find out")] = "",
) -> None:
    """Measure systems on dev under changed settings, and write it into the experiment log."""
    from gecalign.study import trials

    study, asked = _study(profile, seed, set_), [name.strip() for name in systems.split(",")]
    _print_trials(trials.record(study, asked, log, note))
    _print_warnings(study, asked)


@app.command("map")
def map_(
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    miss: Annotated[list[float] | None, typer.Option(help="these columns only; may be repeated")] = None,
    log: Annotated[
        Path, typer.Option(parser=files.path, help="the experiment log, to which rows are appended")
    ] = TRIALS,
) -> None:
    """Measure where preferences help: errors left in demonstrations against the length of SFT (about two hours)."""
    from gecalign.study import trials

    study = _study(profile, seed, set_)
    for steps in trials.MAP_STEPS:
        for share in miss or trials.MAP_MISS:
            cell = trials.of_map(study, share, steps)
            console.tell(f"demonstrations leave {share:.0%} of the errors, {steps} updates of SFT:")
            _print_trials(trials.record(cell, trials.MAP_SYSTEMS, log, "map"))
            _print_warnings(cell, trials.MAP_SYSTEMS)


@app.command()
def sweep(
    profile: ProfileOption = "tiny",
    seeds: Annotated[int, typer.Option(help="how many: 0, 1, 2, ...")] = 3,
    set_: SetOption = None,
    log: Annotated[
        Path, typer.Option(parser=files.path, help="the table of checkpoints, to which rows are appended")
    ] = GROUP_SIZES,
) -> None:
    """Train GRPO with groups of 4, 8 and 16 under each design, and write down every checkpoint's dev BLEU."""
    from gecalign.study import sweep as sweeps

    if seeds < 1:
        raise ValueError(f"--seeds is {seeds}; expected at least 1.")
    for seed in range(seeds):
        sweeps.record(_study(profile, seed, set_), log)


@app.command("study")
def study_(
    profile: ProfileOption = "tiny",
    seeds: Annotated[int, typer.Option(help="how many: 0, 1, 2, ...")] = 5,
    jobs: Annotated[int | None, typer.Option(help="seeds side by side; by default one a core without a GPU")] = None,
    set_: SetOption = None,
    output: Annotated[
        Path | None, typer.Option(parser=files.path, help="where results go; by default results/<profile>")
    ] = None,
    skip_checks: SkipOption = False,
    only_inside: Annotated[
        bool, typer.Option(help="renew what chapters 2 to 6 and 9 show of the inside of runs, and leave predictions")
    ] = False,
) -> None:
    """Make every system and every control with several seeds, and write the results that the book reads."""
    from gecalign import plan
    from gecalign.runtime import store
    from gecalign.study import Study, multiseed, results
    from gecalign.study.stages import TRAINED

    first = _study(profile, 0, set_)
    chosen = first.profile
    target = output or store.project_folder() / "results" / chosen.name
    multiseed.check(seeds, jobs)  # before anything takes hours
    files.check_folder(target, "--output")
    if output is None:  # a profile that has changed for good is measured anew; what was tried is not its record
        results.check_replaced(target, chosen if set_ else None, None if only_inside else seeds)
    if not skip_checks:
        _guard(first, tuple(TRAINED))
    if only_inside:
        results.renew_inside([Study(chosen, seed) for seed in range(seeds)], target)
    else:
        multiseed.publish(multiseed.study(chosen, seeds, jobs, plan.by_system), target)
    for seed in range(seeds):  # what was made side by side has said it in a file
        _print_warnings(Study(chosen, seed), tuple(TRAINED), f"seed {seed}, ")
    size = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    console.tell(f"results of {seeds} seeds: {target} ({size:.1f} MB)")


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
    from gecalign import lines
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
    study = _study(profile, seed, set_)
    if private and not push_to:
        raise ValueError("--private is about the repository on the hub: it needs --push-to user/name.")
    if push_to:
        licences.check_name(licences.of(study.profile.model), push_to)
    exporting.export(study, system, folder, force=force, repository=push_to)
    _print_warnings(study, [system])
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
    _print_table({"copy the input": nothing.row(), visible(hypotheses.name): system.row()}, system.n)
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
        made = report.build(
            read.systems, read.sources, read.references, chosen, read.truncated, margin, metric, resamples, seed,
            notify=lambda words: status.update(escape(words)), notes=read.notes,
        )  # fmt: skip
        for note in made.notes if as_json else ():  # the text says them itself
            console.tell(f"gecalign: {note}", err=True)
        if html:
            from gecalign.report.html import page

            status.update("drawing the page")
            files.write_text(html, page(made))
    console.tell_json(report.to_dict(made)) if as_json else console.tell(report.to_text(made))
    if html:
        console.tell(f"the report as a page: {html}", err=True)


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

    if processes.count() > 1:
        raise ValueError(
            f"the book is built by one process, and there are {processes.count()}. Run the study with several "
            "(`gecalign run all`), then `gecalign book` with one: it loads what they made."
        )
    if not (skip_checks or profile in ("smoke", "tiny")):
        _guard(_study(profile, seed, None), COMPARED)
    builder.build(profile, seed, only or (), jobs=jobs, again=again, early=early)


@app.command()
def elsewhere(
    profile: ProfileOption = "tiny",
    output: Annotated[
        Path | None, typer.Option(parser=files.path, help="where the tables go; by default results/elsewhere")
    ] = None,
) -> None:
    """Build the book as other machines would, with other arithmetic and other seeds, and compare what comes out."""
    import pandas as pd

    from gecalign.book import elsewhere as others
    from gecalign.book.chapters import project_root

    root = project_root()
    target = output or root / "results" / "elsewhere"
    files.check_folder(target, "--output")
    rows = others.run(root, target, profile=profile)
    console.tell(pd.DataFrame(rows).round(2).to_string(index=False))
    if ended := [row for row in rows if not row["ended well"]]:
        raise RuntimeError(f"{len(ended)} of {len(rows)} builds did not end well: see above.")


def main() -> None:
    """Run the command line; print errors that a user can mend without a traceback."""
    console.prepare()
    try:
        if not processes.is_main():
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end; printed is once
        with bars.where_watched(), processes.phrased(settings.as_typed):
            app()
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("GECALIGN_DEBUG"):
            raise
        words = files.words(error) if isinstance(error, OSError) else str(error)
        console.tell(f"gecalign: {_readable(settings.as_typed(words))}", err=True)
        sys.exit(1)
    except SystemExit as end:  # how typer ends
        if end.code == INTERRUPTED and sys.argv[1:2] and sys.argv[1] in RESUMED:
            console.tell("\ninterrupted; what is finished is kept, and the same command goes on from there.", err=True)
        if not end.code:
            processes.leave()
        raise


def _readable(words: str) -> str:
    """Return what a message says with signs for what cannot be seen in it: names of files and columns are data, too."""
    from gecalign.report.markup import visible

    return "\n".join(map(visible, words.split("\n")))


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
    from gecalign.lines import Asker
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
    study = _study(profile, seed, set_)
    if not train:
        existing.check_quick(study, system)

    def trained() -> Asker:
        asker = Asker(*study.model(system), study.profile.prompt, study.profile.decoding, study.profile.engine)
        _print_warnings(study, [system])
        return asker

    return trained


def _lines(file: Path | None) -> Iterator[str]:
    """Return the lines of a text file or of standard input, cleaned."""
    from gecalign import lines
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


def _study(profile: str, seed: int, changes: list[str] | None) -> Study:
    from gecalign import config
    from gecalign.study import Study

    chosen = config.profile(profile)
    return Study(config.assign(chosen, settings.read(changes or []), mark="."), seed)


def _guard(study: Study, products: Sequence[str]) -> None:
    """Look at a study before something long is made, and refuse where a check fails."""
    from gecalign.checks import doctor as checks

    checks.guard(study, products)


def _evaluated(study: Study, split: str = "test") -> list[SystemEvaluation]:
    return [study.evaluation(system, split) for system in COMPARED]


def _print_all(study: Study) -> None:
    """Print the scores on test, and on what the corpus itself sets apart; with a mismatched prompt, too, if so set."""
    for split in ("test", "validation") if study.examples("validation") else ("test",):
        console.tell(f"{split}:")
        _print_scores(_evaluated(study, split))
        if other := study.profile.mismatched_prompt:
            trained = [system for system in COMPARED if system not in ("copy", "base")]
            mismatched = [study.evaluation(s, split, prompt=other, allow_other_prompt=True) for s in trained]
            console.tell(f"{split}, asked with {other.template!r} instead of the prompt of training:")
            _print_scores(mismatched)
    _print_warnings(study, COMPARED)


def _print_warnings(study: Study, systems: Sequence[str], whose: str = "") -> None:
    """Say what is wrong with trained systems, and with the SFT that they start from, also where they are old."""
    from gecalign.runtime import store
    from gecalign.study.stages import TRAINED
    from gecalign.training import health

    for system in dict.fromkeys(("sft", *systems)) if {*systems} & {*TRAINED} else ():
        with suppress(store.NotMade), store.only_existing():
            start = study.sft().facts["dev_bleu"]
            if system in TRAINED and (warning := health.warning_of(study.trained(system), start)):
                console.tell(f"{whose}{system}: {settings.as_typed(warning)}", err=True)


def _print_trials(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        console.tell(
            f"{row['system']:<14} greedy {row['greedy_bleu']:.1f} BLEU, {row['gain']:+.1f} over SFT continued "
            f"({row['gain_low']:+.1f} to {row['gain_high']:+.1f}); sampled {row['sampled_bleu']:.1f}, "
            f"{row['sampled_gain']:+.1f}"
        )


def _print_scores(evaluations: list[SystemEvaluation]) -> None:
    _print_table({e.system: e.scores.row() for e in evaluations}, evaluations[0].scores.n)


def _print_table(rows: dict[str, dict[str, float | None]], n: int) -> None:
    import pandas as pd

    table = pd.DataFrame(rows).map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    console.tell(f"{n} sentences; scores 0-100, rates 0-1\n{table.to_string()}")


if __name__ == "__main__":
    main()
