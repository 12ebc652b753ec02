"""The rows of a corpus in files: one file, a folder, or a data set on the hub.

A folder holds its splits in files named after them, in letters of any case: `train`, which must be there, and if there
are any `preference`, `dev`, `test`, and `validation`, a second test set. Preference, dev and test that have no file of
their own are cut from `train` by a rule that does not depend on its order (`data.split`). Files may be of any kind that
`rowfiles` reads, or M2; two for one split are refused. What else is in the folder is not read, and that is said, but
for hidden files.

A sentence may have several references: a list in `tgt`, where the file can hold one, or further columns `tgt2`, `tgt3`
and so on, or the annotators of M2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gecalign.config import Data
from gecalign.corpus import jfleg, m2, rowfiles
from gecalign.corpus.rowfiles import Row
from gecalign.corpus.textfiles import stem, suffix, unnamed
from gecalign.runtime import processes

READ = ("train", "preference", "dev", "test", "validation")  # splits
SUFFIXES = rowfiles.TABLE_SUFFIXES | {m2.SUFFIX}


def read_rows(config: Data) -> dict[str, Iterable[Mapping[str, object]]]:
    """Return the raw rows of a local file or folder, or of a data set on the hub, by their own splits.

    Raises:
        ValueError: there is no such thing, no `train`, two files for one split, or what `read_file` raises.
    """
    path = local_path(config)
    if path.is_dir():
        return {name: read_file(file) for name, file in _splits(path).items()}
    if path.exists() or suffix(path) in SUFFIXES:
        return {"train": read_file(path)}
    return _read_hub(config)


def local_path(config: Data) -> Path:
    """Return the file or folder that a source names, if it is one.

    Raises:
        ValueError: it is standard input or a pipe, which can be read once only; or it has a name of ours, and has not
            been fetched.
    """
    if config.source == jfleg.NAME:
        if not jfleg.is_there():
            raise ValueError(
                f"the corpus {jfleg.NAME} (data__source) is not here yet: `gecalign fetch {jfleg.NAME}` gets it."
            )
        return jfleg.folder()
    path = Path(config.source).expanduser()
    if unnamed(path):
        raise ValueError(
            f"data__source is {config.source}: a corpus is read more than once, and known by its content. Give a file."
        )
    return path


def _splits(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    others = []
    for path in sorted(one for one in folder.iterdir() if not one.name.startswith(".")):
        name = stem(path).lower()
        if name not in READ or suffix(path) not in SUFFIXES:
            others.append(path.name)
        elif name in found:
            raise ValueError(f"{folder} has two files for {name}, {found[name].name} and {path.name}: which is it? "
                             "Move one away.")  # fmt: skip
        else:
            found[name] = path
    if "train" not in found:
        raise ValueError(f"{folder} holds no train.jsonl, train.csv or train.parquet; found: {sorted(found) + others}.")
    if others:
        _say_not_read(str(folder), others)
    return found


def _say_not_read(where: str, names: list[str]) -> None:
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    processes.say(f"{where}: read are the splits {', '.join(READ)}. Not read: {shown}")


def read_file(path: Path) -> list[Row]:
    """Read the rows of a file of any kind but plain text: `src`, and `tgt`, a text or a list of several.

    Raises:
        ValueError: the file is missing, empty, not text, not well formed, or lacks `src` or `tgt`.
    """
    rows = m2.read(path) if suffix(path) == m2.SUFFIX else rowfiles.read(path, ("src", "tgt"))
    if not rows:
        raise ValueError(f"{path} is empty: it should hold one row a sentence, with the columns src and tgt.")
    for number, row in enumerate(rows, start=1):
        _check_columns(f"row {number} of {path}", row)
    return rows


def _check_columns(where: str, columns: Iterable[str]) -> None:
    if missing := {"src", "tgt"} - set(columns):
        raise ValueError(
            f"{where} has no column {' and no '.join(sorted(missing))}; its columns: {rowfiles.shown(columns)}. "
            "Sources must be called src and corrections tgt."
        )


def _read_hub(config: Data) -> dict[str, Iterable[Mapping[str, object]]]:
    import datasets
    from huggingface_hub import snapshot_download

    from gecalign.runtime import hub

    if config.revision is None:
        raise ValueError(
            f"{config.source!r} is neither 'tinygec' nor a local file or folder. As the name of a data set on the hub "
            "it needs a pinned revision (data__revision), so that the study stays the same when the data set changes."
        )
    hub.ask("dataset", config.source, config.revision, "README.md")
    try:
        # By the hub's own cache: where the hub cannot be reached, `load_dataset(name)` takes whatever revision it
        # finds in its own.
        folder = snapshot_download(config.source, repo_type="dataset", revision=config.revision)
        loaded = datasets.load_dataset(folder)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"the data set {config.source!r} could not be read ({type(error).__name__}: {error}). "
            f"{hub.ways_out('dataset')}"
        ) from error
    if "train" not in loaded:
        raise ValueError(f"the data set {config.source!r} has no split train; it has: {', '.join(loaded)}.")
    for name, rows in loaded.items():
        _check_columns(f"the split {name} of {config.source}", rows.column_names)
    if others := [name for name in loaded if name not in READ]:
        _say_not_read(f"the data set {config.source}", others)
    return {name: rows for name, rows in loaded.items() if name in READ}
