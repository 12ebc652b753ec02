"""The layout of the library: imports between packages point one way, no circles, torch only where it belongs."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from project import PROJECT

LIBRARY = PROJECT / "gecalign"

# From the ground up: a package or module may import what stands in front of it, and its like.
FLOORS = (
    ("ranges", "runtime", "systems"), ("config",), ("prompts", "settings"), ("statistics",), ("models",), ("corpus",),
    ("metrics",), ("preferences",), ("training",), ("study",), ("plan",), ("report",), ("checks",), ("export",),
    ("portable",),
    ("book",), ("cli",)
)  # fmt: skip
HEAVY = {"torch", "transformers", "trl", "accelerate", "datasets", "peft"}  # seconds to load
WITH_TORCH = ("models", "training")  # of other packages' modules only these load it when they are imported
WITHOUT_TORCH = ("models.memory", "training.setup", "training.vllm_sampling", "training.groups", "models")


def name(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name(path): path for path in [*LIBRARY.glob("*/**/*.py"), *LIBRARY.glob("[!_]*.py")]}


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of the library that a module imports anywhere: on top, in a function, or for its types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gecalign"):
            package = (node.module or "").removeprefix("gecalign").removeprefix(".")
            for alias in node.names:
                inner = f"{package}.{alias.name}".removeprefix(".")
                yield inner if inner in MODULES else package
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("gecalign.") for a in node.names if a.name.startswith("gecalign"))


IMPORTS = {module: set(imported(path)) - {module} for module, path in MODULES.items()}


def floor(module: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if module.partition(".")[0] in names)


def test_every_module_stands_on_a_floor_and_imports_point_down():
    upwards = [(m, other) for m, found in IMPORTS.items() for other in found if floor(other) > floor(m)]
    assert upwards == []
    same = [(m, o) for m, found in IMPORTS.items() for o in found
            if floor(o) == floor(m) and m.partition(".")[0] != o.partition(".")[0]]  # fmt: skip
    assert same == []


def test_there_is_no_circle_not_even_of_imports_in_functions_or_for_types():
    graphlib.TopologicalSorter(IMPORTS).prepare()  # raises CycleError with the circle


def test_files_do_not_repeat_the_name_of_their_folder():
    repeating = [m for m in MODULES if m.count(".") and m.split(".")[-2].rstrip("s") in m.split(".")[-1].split("_")]
    assert repeating == []


def on_top(path: Path) -> set[str]:
    """The first names of what a module imports as soon as it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        found.partition(".")[0]
        for node in tree.body
        for found in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
    }  # fmt: skip


def test_what_takes_seconds_to_load_is_imported_on_top_of_models_and_training_only():
    heavy = {m for m, path in MODULES.items() if on_top(path) & HEAVY} - {"corpus.tinygec.pretrain"}  # a script
    assert {module.partition(".")[0] for module in heavy} <= set(WITH_TORCH)
    assert heavy.isdisjoint(WITHOUT_TORCH)


def test_packages_load_nothing_heavy():
    packages = [f"gecalign.{m}" for m, path in MODULES.items() if path.stem == "__init__"]
    code = f"import sys, {', '.join(packages)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


def test_every_package_says_what_it_is_for_and_names_all_its_modules():
    for package in sorted({m for m, path in MODULES.items() if path.stem == "__init__"}):
        words = ast.get_docstring(ast.parse(MODULES[package].read_text(encoding="utf-8"))) or ""
        inside = [m.removeprefix(f"{package}.") for m in MODULES if m.startswith(f"{package}.")]
        missing = [m for m in inside if "." not in m and f"`{m}`" not in words]
        assert missing == [] or package.startswith("corpus.tinygec"), (package, missing)
