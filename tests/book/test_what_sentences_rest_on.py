"""No chapter stops because of what a model that was trained on the reader's machine happens to do.

Whatever is computed from such a model is traced through each chapter's code: it may be shown, and it may be evidence
for `claims.run`, which never raises. It must not decide a claim that stops the build, or an assertion.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import jupytext
import pytest
from project import PROJECT

CHAPTERS = sorted((PROJECT / "notebooks").glob("*.md"))

# What a study gives that no training decides: the corpus, and settings.
GIVEN = {"examples", "prompted", "profile", "variant", "corpus", "seed", "asking"}
# Functions that take a study and read the record, or the corpus.
READ = {"sweep.recorded"}
COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.DictComp, ast.SetComp)
STOPPING = {"claims.record", "claims.arithmetic"}


def code_of(source: Path) -> str:
    cells = jupytext.read(source, fmt="md:myst").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "code")


def stopped_by_a_run(code: str) -> list[str]:
    """Return the statements that could stop the build because of what a run at hand gave."""
    tree = ast.parse(code)
    studies, own = traced(tree, {"study"}, set())
    return [ast.unparse(node) for node in stopping(tree) if from_run(node, studies, own)]


def traced(scope: ast.AST, studies: set[str], own: set[str]) -> tuple[set[str], set[str]]:
    """Return the names that are studies, and those that hold what a run gave, at the end of a scope."""
    studies, own = set(studies), set(own)
    while True:  # until nothing new is found: a cell may be run again
        before = len(studies), len(own)
        for node in within(scope):
            for targets, value in bound(node):
                if makes_study(value, studies):
                    studies |= targets
                elif from_run(value, studies, own):
                    own |= targets
        if (len(studies), len(own)) == before:
            return studies, own


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope, but not what stands inside functions, whose names are their own."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.Lambda)):
            yield from within(child)


def bound(node: ast.AST) -> Iterator[tuple[set[str], ast.AST]]:
    """Yield the names that a node binds, each with what they are bound to."""
    if isinstance(node, ast.Assign):
        yield {name for target in node.targets for name in names_in(target)}, node.value
    elif isinstance(node, ast.For):
        yield names_in(node.target), node.iter
    elif isinstance(node, ast.FunctionDef):
        yield {node.name}, node
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield names_in(node.target), node.value


def names_in(target: ast.AST) -> set[str]:
    if isinstance(target, (ast.Subscript, ast.Attribute)):  # `table["a"] = value` binds the table
        return names_in(target.value)
    if isinstance(target, ast.Name):
        return {target.id}
    return {name for child in ast.iter_child_nodes(target) for name in names_in(child)}


def makes_study(value: ast.AST, studies: set[str]) -> bool:
    if isinstance(value, ast.IfExp):
        return makes_study(value.body, studies) or makes_study(value.orelse, studies)
    if isinstance(value, ast.Name):
        return value.id in studies
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    variant = isinstance(called, ast.Attribute) and called.attr == "variant" and makes_study(called.value, studies)
    return variant or (isinstance(called, ast.Name) and called.id == "Study")


def from_run(node: ast.AST, studies: set[str], own: set[str]) -> bool:
    """Whether an expression or statement uses what a study's training gave."""
    if isinstance(node, ast.Attribute):
        if node.attr == "record" and not makes_study(node.value, studies):  # of `Beside`: the values of the record
            return False
        if makes_study(node.value, studies):
            return node.attr not in GIVEN
    if isinstance(node, ast.Call):
        takes_study = any(makes_study(argument, studies) for argument in node.args)
        if takes_study and ast.unparse(node.func) not in READ:
            return True
    if isinstance(node, ast.Name):
        return node.id in own
    if isinstance(node, COMPREHENSIONS):
        for part in node.generators:  # its names are its own
            decided = from_run(part.iter, studies, own)
            own = own | names_in(part.target) if decided else own - names_in(part.target)
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        local = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        local |= {name for inner in within(node) for targets, _ in bound(inner) for name in targets}
        studies, own = traced(node, studies - local, own - local)
    return any(from_run(child, studies, own) for child in ast.iter_child_nodes(node))


def stopping(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assert, ast.Raise)) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) in STOPPING
        ):
            yield node


@pytest.mark.parametrize("source", CHAPTERS, ids=lambda source: source.stem)
def test_no_chapter_is_stopped_by_what_a_run_at_hand_gives(source):
    assert stopped_by_a_run(code_of(source)) == []


SETTING = "study = Study(PROFILE, SEED)\nrecorded = results.recorded(PROFILE)\n"


@pytest.mark.parametrize(
    "code",
    [
        'claims.record("A.", study.evaluation("sft").scores > 3, recorded)',
        'log = study.log("sft")\nend = log["bleu"].iloc[-1]\nclaims.arithmetic("A.", end > 3)',
        'def gain(name):\n    return study.evaluation(name)\n\nassert gain("dpo") > 0',
        'for name in study.log("sft"):\n    assert name',
        "found = diagnostics.logs(study)\nclaims.record('A.', (found > 0).all(), recorded)",
        "other = study.variant(study.profile)\nassert other.sft()",
        "rows = {n: beside.of([1], study.log(n)) for n in 'ab'}\nclaims.record('A.', rows['a'].here > 1, recorded)",
        "if study.sft().facts:\n    x = [v for v in study.pairs()]\n    assert x",
    ],
)
def test_what_a_run_decides_is_found(code):
    assert stopped_by_a_run(SETTING + code) != []


@pytest.mark.parametrize(
    "code",
    [
        'claims.record("A.", recorded.fact("pairs") > 3, recorded)',
        'claims.run("A.", compare.interval(study.evaluation("sft")), above=0)',
        'claims.formula("A.", study.log("dpo").mean(), 3, 1e-4)',
        'dev = study.examples("dev")\nassert len(dev) == study.profile.data.dev_rows',
        "rows = {n: beside.of([1], study.log(n)) for n in 'ab'}\nclaims.record('A.', rows['a'].record > 1, recorded)",
    ],
)
def test_what_no_run_decides_may_stop_the_build(code):
    assert stopped_by_a_run(SETTING + code) == []
