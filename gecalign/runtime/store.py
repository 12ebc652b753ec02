"""Stage folders: written once, found again, resumed after an interruption, verified when loaded.

A stage is a step of the study (the corpus, a trained model, an evaluation). Its product is a folder

    runs/<profile>/seed-<n>/<stage>-<digest>/
        stage.json      what made it: see `Stage`
        ...             what the stage wrote

The digest covers what decides the product, but for the code: the configuration of the stage, the seed, and
the content of the products it was made from. Another configuration therefore gets another folder,
and nothing finished is ever overwritten. (After a change of the library that changes results, remove `runs/`.)
While a stage is being made its folder is called `<stage>-<digest>.partial`; it gets its name by one rename when it is
whole. A partial folder that an interruption left behind is handed to the stage again, which goes on from what it finds
there.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gecalign.runtime import bars, files, processes
from gecalign.runtime.files import write_text as write_text
from gecalign.runtime.files import writing as writing

RECORD = "stage.json"
NAMED = "the environment variable GECALIGN_RUNS"  # where products are, where somebody says so
VERSIONED_PACKAGES = (
    "gecalign",
    "torch",
    "transformers",
    "trl",
    "datasets",
    "accelerate",
    "sacrebleu",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A finished product: its folder, and the record of what made it.

    The record holds `stage` (name), `digest`, `spec` (what was asked for), `files` (SHA-256 of each),
    `facts` (what the stage reports: tokens, rows dropped, ...), `seconds`, `machine`, `packages`, `commit`. In
    the file there is also `seal`, the digest of all these.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def content(self) -> str:
        """The digest of the files: equal for two products that are the same to the byte."""
        return digest_of(self.record["files"])

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the stage reported: counts, the chosen step, ..."""
        return self.record["facts"]


class StageError(RuntimeError):
    """A stage could not be loaded or made; the message says what to do."""


class Spoiled(StageError):
    """What was begun broke in a way that going on cannot mend; what there is of it is thrown away."""


class NotMade(StageError):
    """A product does not exist yet."""


_loaded: ContextVar[dict[Path, Stage] | None] = ContextVar("loaded", default=None)


@contextmanager
def only_existing() -> Iterator[dict[Path, Stage]]:
    """Within this, products are loaded and never made; what was loaded is in the result, in the order of making.

    Raises:
        NotMade: something was asked for that does not exist.
    """
    loaded: dict[Path, Stage] = {}
    before = _loaded.set(loaded)
    try:
        yield loaded
    finally:
        _loaded.reset(before)


def runs_folder(project: Path | None = None) -> Path:
    """Return where products are kept: `$GECALIGN_RUNS`, or `runs/` in a project, by default the one worked in.

    Raises:
        ValueError: what the variable names is, or lies in, a file.
    """
    if not (named := os.environ.get("GECALIGN_RUNS")):
        return (project or project_folder()) / "runs"
    folder = files.path(named)
    files.check_folder(folder, NAMED, writable=False)  # it may be read where nothing is made
    return folder


def project_folder() -> Path:
    """Return the project that one works in: the nearest folder at or above the working directory with a `_toc.yml`.

    Without one it is the working directory. So notebooks and shell find the same products from anywhere inside.
    """
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "_toc.yml").exists()), here)


def digest_of(value: object) -> str:
    """Return a digest of 12 hexadecimal digits of a dataclass or anything that JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def obtain(
    root: Path,
    name: str,
    spec: Mapping[str, Any],
    make: Callable[[Path], Mapping[str, Any]],
    *,
    announce: str = "",
    shared: bool = False,
) -> Stage:
    """Load the product of a stage, or make it where there is none.

    Where several processes run the study, all of them make it together, and the main one's files are kept.

    Args:
        root: the folder of products, such as `runs/tiny/seed-0`.
        name: the stage, such as "sft".
        spec: all that decides the product, as JSON can hold it.
        make: writes the product into the (possibly half-filled) folder it is given, and returns facts
            worth recording.
        announce: a line printed to stderr before making, such as an estimate of what it takes.
        shared: whether all processes write into the same folder (a training's checkpoints have parts of each); else
            those of the others go to a scratch folder and are thrown away.

    Raises:
        StageError: the product was changed after it was made, its training broke, or the disk is full.
    """
    spec = json.loads(json.dumps(spec))
    folder = root / f"{name}-{digest_of(spec)}"
    if (loaded := _loaded.get()) is not None:
        if folder not in loaded:  # verified once: a large model takes seconds
            loaded[folder] = _existing(folder)
        return loaded[folder]
    if processes.from_main(folder.exists):
        return load(folder)
    files.check_folder(root, NAMED if os.environ.get("GECALIGN_RUNS") else "products (GECALIGN_RUNS says where)")
    with _alone(folder, name), bars.where_watched():
        if not processes.from_main(folder.exists):
            _make(folder, name, spec, make, announce, shared)
    return load(folder)


def _existing(folder: Path) -> Stage:
    if not folder.exists():
        raise NotMade(f"there is no {folder} yet.")
    return load(folder)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a stage, so that no other run of the study makes it at the same time; wait for one that does.

    The system releases the lock of a process that dies.
    """
    if not processes.is_main():
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        processes.say(f"[{name}] another process is making it; waiting")
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()


def load(folder: Path) -> Stage:
    """Load a finished product and verify that it is what its record says.

    Raises:
        StageError: the record is missing or does not match the folder's name or files.
    """
    remedy = f"Delete or rename {folder} to have it made again."
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        sealed = record.pop("seal") == digest_of(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{folder} has no readable {RECORD} ({error!r}). {remedy}") from None
    if not sealed:
        raise StageError(f"{folder / RECORD} was changed after it was written. {remedy}")
    if folder.name != f"{record['stage']}-{digest_of(record['spec'])}":
        raise StageError(f"{folder} was made from another configuration than its name says. {remedy}")
    if changed := _differences(record["files"], file_digests(folder)):
        raise StageError(f"{folder} was changed after it was made ({', '.join(changed)}). {remedy}")
    return Stage(folder, record)


def _make(folder: Path, name: str, spec: Mapping[str, Any], make: Callable, announce: str, shared: bool) -> None:
    partial = folder.with_name(folder.name + ".partial")
    if not processes.is_main():
        processes.wait()  # for the folder
        _help(partial, make, shared)
        processes.wait()  # for the product
        return
    resumed = partial.exists()
    partial.mkdir(exist_ok=True)
    processes.wait()
    processes.say(f"[{name}] {'resuming' if resumed else 'making'} {folder.name}. {announce}".rstrip())
    start = time.perf_counter()
    try:
        facts = make(partial)
        seconds = round(time.perf_counter() - start, 1)
        record = {
            "stage": name, "digest": digest_of(spec), "spec": spec, "facts": facts, "seconds": seconds,
            "resumed": resumed, **provenance(), "files": file_digests(partial),
        }  # fmt: skip
        record = json.loads(json.dumps(record))  # as it will be read, or the seal would not match
        sealed = record | {"seal": digest_of(record)}
        write_text(partial / RECORD, json.dumps(sealed, indent=1, ensure_ascii=False) + "\n")
    except Spoiled:
        shutil.rmtree(partial, ignore_errors=True)  # resumed, it would only break again
        raise
    except Exception as error:
        if not _disk_is_full(error):
            raise
        raise StageError(
            f"the disk is full: {name} could not be written to {partial}. Free some space, or set GECALIGN_RUNS to a "
            "folder on another disk, and run the same command again: it goes on from where it stopped."
        ) from error
    partial.rename(folder)
    processes.say(f"[{name}] done in {seconds:.0f} s")
    processes.wait()


def _help(partial: Path, make: Callable, shared: bool) -> None:
    """Make a product together with the main process, and keep nothing of one's own."""
    if shared:
        make(partial)
        return
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))


def provenance() -> dict[str, Any]:
    """Return where and with what this process runs: machine, package versions, git commit."""
    return {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "processes": processes.count(),
            "device": _device(),
        },
        "packages": {name: _version(name) for name in VERSIONED_PACKAGES},
        "commit": _commit(),
    }


def processor() -> str:
    """Return what kind of processor this is, as far as the system tells: results differ between kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    vectors = next((name for name in ("avx512f", "avx2", "avx") if name in told.get("flags", "").split()), "")
    numbers = "/".join(told[key] for key in ("cpu family", "model") if key in told)
    return " ".join(filter(None, [told.get("model name", platform.machine()), numbers, vectors]))


def _device() -> str:
    torch = sys.modules.get("torch")  # where nobody has imported it, nothing was computed on an accelerator
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "cpu"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, by its path inside; hidden files are left out."""
    # hidden files are not ours: JupyterLab and file managers leave them in folders that one looks into
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / RECORD)
    names = {path: path.relative_to(folder) for path in paths}
    return {str(n): file_digest(p) for p, n in names.items() if not any(part.startswith(".") for part in n.parts)}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return sorted(path for path in {*recorded, *found} if recorded.get(path) != found.get(path))


def _disk_is_full(error: BaseException) -> bool:
    # safetensors and torch.save report a full disk by exceptions of their own, which carry only words
    words = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter", "unexpected pos")
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
        phrase in str(error) for phrase in words
    )
