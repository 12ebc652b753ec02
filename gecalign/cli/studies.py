"""Commands that make the study: profiles, run, doctor, plan, trial, map, sweep, study.

They have as many arguments as there are options: Typer reads the options off the signature of a function.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gecalign import settings
from gecalign.cli.app import (
    COMPARED,
    JsonOption,
    ProfileOption,
    SeedOption,
    SetOption,
    SkipOption,
    app,
    guard,
    print_table,
    print_warnings,
    study_of,
)
from gecalign.runtime import console, files

if TYPE_CHECKING:
    from gecalign.study import Study
    from gecalign.study.evaluation import SystemEvaluation

LogOption = Annotated[Path, typer.Option(parser=files.path, help="the experiment log, to which rows are appended")]
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
    study = study_of(profile, seed, set_)
    if not skip_checks:
        guard(study, COMPARED if what == "all" else (what,))
    if what == "all":
        _print_all(study)
        return
    stage = study.product(what)
    facts = {key: settings.as_typed(fact) if key == "warning" else fact for key, fact in stage.facts.items()}
    console.tell_json({"folder": str(stage.folder), **facts})
    print_warnings(study, [what])
    if facts.get("pairs") == 0:
        raise ValueError(
            "there is no preference pair, see `funnel`. Sample more (pairs__samples, pairs__prompts) or warmer "
            "(pairs__temperature), or keep smaller differences (pairs__minimum_margin)."
        )


@app.command()
def doctor(
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    quick: Annotated[bool, typer.Option(help="only what needs no training: seconds")] = False,
) -> None:
    """Look for what would make a long training worthless before it starts. Trains SFT, unless --quick."""
    from gecalign.checks import doctor as checks

    found = checks.with_progress(study_of(profile, seed, set_), quick)
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
    as_json: JsonOption = False,
) -> None:
    """Say what a study will take, step by step: updates, samples, tokens, disk, memory, time. Loads no model."""
    from rich.console import Console

    from gecalign import plan
    from gecalign.plan import rendering
    from gecalign.runtime import processes

    study = study_of(profile, 0, set_)
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
    log: LogOption = TRIALS,
    note: Annotated[str, typer.Option(help="what the trial is to find out")] = "",
    greedy_only: Annotated[
        bool, typer.Option("--greedy-only", help="no sampled scores, and no gain over SFT continued: much sooner done")
    ] = False,
) -> None:
    """Measure systems on dev under changed settings, and write it into the experiment log."""
    from gecalign.study import trials

    study, asked = study_of(profile, seed, set_), [name.strip() for name in systems.split(",")]
    _print_trials(trials.record(study, asked, log, note, greedy_only))
    print_warnings(study, asked)


@app.command("map")
def map_(
    profile: ProfileOption = "tiny",
    seed: SeedOption = 0,
    set_: SetOption = None,
    miss: Annotated[list[float] | None, typer.Option(help="these columns only; may be repeated")] = None,
    log: LogOption = TRIALS,
) -> None:
    """Measure where preferences help: errors left in demonstrations against the length of SFT (about two hours)."""
    from gecalign.study import trials

    _check_free(set_, "map", "data.miss", "sft.steps")
    study, shares = study_of(profile, seed, set_), miss or trials.MAP_MISS
    try:  # all of them, before the first takes hours
        cells = [(steps, share, trials.of_map(study, share, steps)) for steps in trials.MAP_STEPS for share in shares]
    except ValueError as error:
        raise ValueError(str(error).replace("data__miss", "--miss")) from None
    for steps, share, cell in cells:
        console.tell(f"demonstrations leave {share:.0%} of the errors, {steps} updates of SFT:")
        _print_trials(trials.record(cell, trials.MAP_SYSTEMS, log, "map"))
        print_warnings(cell, trials.MAP_SYSTEMS)


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
    from gecalign import config
    from gecalign.study import sweep as sweeps

    config.check_seeds(seeds)
    _check_free(set_, "sweep", "grpo.group_size", "grpo.updates_per_generation")
    for seed in range(seeds):
        sweeps.record(study_of(profile, seed, set_), log)


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
    from gecalign.study import Study, accounts, multiseed, results

    first = study_of(profile, 0, set_)
    chosen = first.profile
    target = output or store.project_folder() / "results" / chosen.name
    multiseed.check(seeds, jobs)  # before anything takes hours
    files.check_folder(target, "--output")
    if output is None:  # a profile that has changed for good is measured anew; what was tried is not its record
        results.check_replaced(target, chosen if set_ else None, None if only_inside else seeds)
    if not skip_checks:
        guard(first, accounts.trained())
    if only_inside:
        results.renew_inside([Study(chosen, seed) for seed in range(seeds)], target)
    else:
        multiseed.publish(multiseed.study(chosen, seeds, jobs, plan.by_system), target)
    for seed in range(seeds):  # what was made side by side has said it in a file
        print_warnings(Study(chosen, seed), accounts.trained(), f"seed {seed}, ")
    size = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    console.tell(f"results of {seeds} seeds: {target} ({size:.1f} MB)")


def _check_free(changes: list[str] | None, command: str, *addresses: str) -> None:
    """Raise ValueError where `--set` gives what a command varies itself, and it would be of no effect."""
    if given := [address for address in settings.read(changes or []) if address in addresses]:
        raise ValueError(f"--set {given[0]} has no effect: `gecalign {command}` varies it itself. Leave it out.")


def _print_all(study: Study) -> None:
    """Print the scores on test, and on what the corpus itself sets apart; with a mismatched prompt, too, if so set."""
    for split in ("test", "validation") if study.examples("validation") else ("test",):
        console.tell(f"{split}:")
        _print_scores([study.evaluation(system, split) for system in COMPARED])
        if other := study.profile.mismatched_prompt:
            trained = [system for system in COMPARED if system not in ("copy", "base")]
            mismatched = [study.evaluation(s, split, prompt=other, allow_other_prompt=True) for s in trained]
            console.tell(f"{split}, asked with {other.template!r} instead of the prompt of training:")
            _print_scores(mismatched)
    print_warnings(study, COMPARED)


def _print_trials(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        more = "" if row["gain"] == "" else (
            f", {row['gain']:+.1f} over SFT continued ({row['gain_low']:+.1f} to {row['gain_high']:+.1f}); "
            f"sampled {row['sampled']:.1f}, {row['sampled_gain']:+.1f}"
        )  # fmt: skip
        console.tell(f"{row['system']:<14} greedy {row['greedy']:.1f} {row['metric'].upper()}{more}")


def _print_scores(evaluations: list[SystemEvaluation]) -> None:
    print_table({e.system: e.scores.row() for e in evaluations}, evaluations[0].scores.n)
