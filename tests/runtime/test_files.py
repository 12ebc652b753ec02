import errno
import os
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from gecalign import cli
from gecalign.corpus import rowfiles
from gecalign.runtime import files, store


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_beside_it(tmp_path):
    page = tmp_path / "page.html"
    files.write_text(page, "good")

    def fails() -> None:
        with files.writing(page) as beside:
            beside.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=f"No space left.*{page}"):
        fails()
    assert page.read_text() == "good"
    assert list(tmp_path.iterdir()) == [page]


def test_what_cannot_be_encoded_leaves_the_earlier_file(tmp_path):
    page = tmp_path / "page.html"
    files.write_text(page, "good")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(page, "half \ud800")
    assert page.read_text() == "good"
    assert list(tmp_path.iterdir()) == [page]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_the_file_beside_has_the_suffix_by_which_formats_are_chosen(tmp_path):
    with files.writing(tmp_path / "figure.png") as beside:
        assert (beside.suffix, beside.parent) == (".png", tmp_path)
        assert beside.name.startswith(".")
        beside.touch()


def test_lines_end_alike_on_every_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    files.write_text(tmp_path / "x", "a\nb\r\n")
    assert (tmp_path / "x").read_bytes() == b"a\nb\r\n"


@pytest.mark.parametrize(("before", "after"), [(None, "h\nx\n"), ("", "h\nx\n"), ("h\n1\n", "h\n1\nx\n"),
                                               ("h\n1", "h\n1\nx\n")])  # fmt: skip
def test_appending_gives_a_new_or_empty_file_its_header_and_ends_the_line_before(tmp_path, before, after):
    log = tmp_path / "log.csv"
    if before is not None:
        log.write_text(before)
    files.append_text(log, "x\n", "h\n")
    assert log.read_text() == after


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file/report.html", "--html: .*file is a file, so that there can be no"),
        ("file/deep/er/report.html", "--html: .*file is a file"),
        ("folder.html", "--html: .*folder.html is a folder. Give the name of a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_there_is_something_to_write(tmp_path, place, words):
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ValueError, match=words):
        files.check_file(tmp_path / place, "--html")
    files.check_file(tmp_path / "new" / "report.html", "--html")


def test_a_file_is_no_place_for_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--output: .*file is a file\. Give a folder"):
        files.check_folder(tmp_path / "file", "--output")
    files.check_folder(tmp_path, "--output")


def refusing(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Let a place be one that cannot be written; whoever runs the tests may be root, to whom all can."""
    ordinary = os.access
    monkeypatch.setattr(os, "access", lambda path, how: Path(path) != place and ordinary(path, how))


def test_what_is_written_beside_needs_the_folder_around_it(tmp_path, monkeypatch):
    (tmp_path / "report.html").touch()
    (tmp_path / "model").mkdir()
    refusing(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match=f"--html: {tmp_path} cannot be written by you"):
        files.check_file(tmp_path / "report.html", "--html")
    with pytest.raises(ValueError, match=f"the export: {tmp_path} cannot be written by you"):
        files.check_replaced(tmp_path / "model", "the export")
    files.check_folder(tmp_path / "model", "--output")  # written into, not replaced
    files.check_folder(tmp_path, "GECALIGN_RUNS", writable=False)


# --- Whole folders ----------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("good")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, text: str) -> None:
    with files.replacing(folder) as new:
        (new / "weights").write_text(text)


def test_a_folder_is_replaced_as_a_whole_and_keeps_its_permissions(model):
    model.chmod(0o700)
    (model / "more").touch()
    write(model, "new")
    assert names(model) == ["weights"]
    assert (model / "weights").read_text() == "new"
    assert model.stat().st_mode & 0o777 == 0o700
    assert names(model.parent) == ["model"]
    write(model.parent / "a" / "b", "first")
    assert (model.parent / "a" / "b" / "weights").read_text() == "first"


def test_a_folder_that_could_not_be_written_is_as_it_was_and_is_named(model):
    def fails() -> None:
        with files.replacing(model) as new:
            (new / "weights").write_text("half")
            raise OSError(28, "No space left on device", str(new / "weights"))

    with pytest.raises(OSError, match="No space left") as caught:
        fails()
    assert caught.value.filename == str(model)
    assert (model / "weights").read_text() == "good"
    assert names(model.parent) == ["model"]


def test_what_cannot_be_read_for_a_folder_keeps_its_name_and_a_full_disk_is_the_folders(model, tmp_path):
    def fails(error: OSError) -> str:
        with pytest.raises(OSError, match=r"Permission|No space") as caught, files.replacing(model):
            raise error
        return caught.value.filename

    source = str(tmp_path / "source")
    assert fails(PermissionError(errno.EACCES, "Permission denied", source)) == source
    assert fails(OSError(errno.ENOSPC, "No space left on device", source)) == str(model)  # as shutil.copyfile has it
    assert (model / "weights").read_text() == "good"


def test_what_a_kill_left_is_put_back_or_cleared_away_and_nothing_else(model):
    """Killed between the two renames: the earlier folder is out of its place."""
    left = model.parent / ".model.gecalign-x1"
    (left / "new").mkdir(parents=True)
    model.rename(left / "old")
    own = model.parent / ".model.old"
    own.mkdir()
    with pytest.raises(OSError, match="No space"), files.replacing(model):
        raise OSError(28, "No space left on device")
    assert (model / "weights").read_text() == "good"
    assert names(model.parent) == [".model.old", "model"]


def test_of_two_that_write_a_folder_at_once_the_last_one_stays_whole(model):
    with files.replacing(model) as first:
        (first / "weights").write_text("first")
        (first / "of the first").touch()
        with files.replacing(model) as second:
            (second / "weights").write_text("second")
        assert (model / "weights").read_text() == "second"
        assert (first / "weights").read_text() == "first"
    assert names(model) == ["of the first", "weights"]
    assert names(model.parent) == ["model"]


def test_a_folder_that_came_in_between_is_replaced_too(model, monkeypatch):
    ordinary, fast = Path.rename, []

    def renamed(self: Path, target: Path) -> Path:
        if self.name == "new" and not fast:
            fast.append(self)
            model.mkdir()
            (model / "of another").touch()
        return ordinary(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    write(model, "new")
    assert names(model) == ["weights"]
    assert names(model.parent) == ["model"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(2, "Check the spelling"), (20, "is a file"), (28, "Free some space"), (errno.EDQUOT, "Free some")],
)
def test_what_the_system_refuses_is_said_with_the_file_and_a_way_out(number, words):
    said = files.words(OSError(number, os.strerror(number), "some/name.txt"))
    assert said.startswith(f"some/name.txt: {os.strerror(number)[0].lower()}{os.strerror(number)[1:]}. ")
    assert words in said
    assert "Errno" not in said


def test_the_error_of_a_write_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory") as raised:
        files.write_text(tmp_path / "file" / "page.html", "x")
    assert raised.value.filename == str(tmp_path / "file" / "page.html")


# ---- paths


@pytest.mark.parametrize(("typed", "meant"), [("~/x", "{home}/x"), ("~", "{home}"), ("./~", "~"), ("a/~/b", "a/~/b")])
def test_a_tilde_is_the_home_folder_where_it_stands_first(monkeypatch, tmp_path, typed, meant):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.path(typed) == Path(meant.format(home=tmp_path))


@pytest.mark.parametrize(
    ("typed", "words"), [("", "a path is empty"), ("~nobody-of-this-name/x", r"no such home folder.* \./~nobody")]
)
def test_a_path_that_means_nothing_is_refused(typed, words):
    with pytest.raises(ValueError, match=words):
        files.path(typed)


def test_the_variable_of_runs_may_begin_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GECALIGN_RUNS", "~/x")
    assert store.runs_folder() == tmp_path / "x"
    monkeypatch.setenv("GECALIGN_RUNS", "")
    assert store.runs_folder(tmp_path) == tmp_path / "runs"


def test_every_path_of_the_command_line_is_expanded():
    """By the annotations: whatever is a path is read by the one function that expands paths."""
    seen = []
    for command in cli.app.registered_commands:
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            kind, *about = get_args(hint) or (hint,)
            if "Path" in str(kind):
                assert about[0].parser is files.path, f"{command.callback.__name__} {name}"
                seen.append(name)
    assert {"html", "log", "output", "file", "model", "folder", "sources", "references"} <= set(seen)


# ---- tables


def test_cells_of_a_table_may_be_long_where_a_c_long_has_32_bits(tmp_path, monkeypatch):
    def limit(size: int) -> None:
        if size > 2**31 - 1:
            raise OverflowError("Python int too large to convert to C long")

    monkeypatch.setattr(rowfiles.csv, "field_size_limit", limit)
    (tmp_path / "x.csv").write_text("src,tgt\na,b\n")
    assert rowfiles.read(tmp_path / "x.csv", ["src", "tgt"]) == [{"src": "a", "tgt": "b"}]
