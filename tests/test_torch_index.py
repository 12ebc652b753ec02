"""Which build of PyTorch an installation takes, on every kind of machine, without asking any network."""

from __future__ import annotations

import http.server
import importlib.util
import socket
import subprocess
import sys
import threading
import time

import pytest
from project import PROJECT

SCRIPT = PROJECT / "tools" / "torch_index.py"
spec = importlib.util.spec_from_file_location("torch_index", SCRIPT)
torch_index = importlib.util.module_from_spec(spec)
spec.loader.exec_module(torch_index)

CPU = ["--extra-index-url", torch_index.INDEX]


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets whether this machine has a driver, and a way to the index."""

    def is_(driver: bool = False, online: bool = True) -> None:
        monkeypatch.setattr(torch_index, "driver_found", lambda: driver)
        monkeypatch.setattr(torch_index, "reachable", lambda *_: online)

    is_()
    return is_


@pytest.mark.parametrize(
    ("wanted", "driver", "online", "options", "words"),
    [
        ("", False, True, CPU, "CPU build (no NVIDIA driver found; TORCH=cuda takes the other)"),
        ("", True, True, [], "CUDA build (NVIDIA driver found; TORCH=cpu takes the other)"),
        ("cpu", True, True, CPU, "CPU build (TORCH=cpu)"),
        ("cuda", False, True, [], "CUDA build (TORCH=cuda)"),
        ("", False, False, [], "pip's usual index (no NVIDIA driver found, but https://download.pytorch.org/whl/cpu"),
        ("cpu", False, False, [], "pip's usual index (TORCH=cpu, but https://download.pytorch.org/whl/cpu cannot"),
    ],
)
def test_on_linux_the_driver_decides_unless_the_reader_does(machine, wanted, driver, online, options, words):
    machine(driver, online)
    chosen, said = torch_index.choose(wanted, "linux", {})
    assert chosen == options
    assert words in said
    assert "\n" not in said


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize("wanted", ["", "cpu"])
def test_elsewhere_the_usual_index_has_no_cuda_to_avoid(machine, platform, wanted):
    assert torch_index.choose(wanted, platform, {})[0] == []


def test_a_build_that_there_is_not_is_refused_with_what_to_do(machine):
    with pytest.raises(ValueError, match="TORCH is 'rocm'; expected cpu or cuda"):
        torch_index.choose("rocm", "linux", {})
    with pytest.raises(ValueError, match=r"no CUDA build for this platform \(win32\).*PIP_EXTRA_INDEX_URL"):
        torch_index.choose("cuda", "win32", {})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({":env:.index-url": "https://mirror"}, "PIP_INDEX_URL"),
        ({":env:.extra-index-url": "https://more"}, "PIP_EXTRA_INDEX_URL"),
        ({"global.index-url": "https://mirror"}, "index-url in pip's configuration"),
        ({"install.extra-index-url": "https://download.pytorch.org/whl/cu130"}, "extra-index-url in pip's"),
        ({"global.no-index": "true"}, "no-index in pip's configuration"),
    ],
)
def test_an_index_that_the_reader_has_named_is_left_to_decide_unless_told_otherwise(machine, settings, name):
    chosen, said = torch_index.choose("", "linux", settings)
    assert (chosen, name in said) == ([], True)
    assert torch_index.choose("cpu", "linux", settings)[0] == CPU


def test_an_index_of_other_things_decides_nothing(machine):
    assert torch_index.choose("", "linux", {"global.extra-index-url": "https://ours", "global.timeout": "9"})[0] == CPU


def test_the_settings_of_pip_are_read(tmp_path, monkeypatch):
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://mirror/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more")
    settings = torch_index.pip_settings()
    assert [v for k, v in settings.items() if k.endswith(".index-url")] == ["https://mirror/simple"]
    assert settings[":env:.extra-index-url"] == "https://more"


@pytest.mark.parametrize(("body", "found"), [("exit 0", True), ("exit 9", False), ("sleep 60", False)])
def test_a_driver_is_what_nvidia_smi_finds(tmp_path, monkeypatch, body, found):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(torch_index, "DRIVER", ())
    monkeypatch.setattr(torch_index, "PATIENCE", 0.5)
    assert torch_index.driver_found() == found


def test_a_driver_is_found_by_its_files_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch_index, "DRIVER", (str(tmp_path / "nvidia0"),))
    assert not torch_index.driver_found()
    (tmp_path / "nvidia0").touch()
    assert torch_index.driver_found()


@pytest.fixture
def server():
    """Serve what an index has of torch, and nothing else; the names that were asked for are in `asked`."""

    class Index(http.server.BaseHTTPRequestHandler):
        asked: list[str] = []  # noqa: RUF012

        def do_HEAD(self):
            self.asked.append(self.path)
            self.send_response(200 if self.path.endswith("/whl/torch/") else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", Index.asked
        running.shutdown()


def test_an_index_is_reachable_that_answers(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address, _ = server
    assert torch_index.reachable(f"{address}/whl", {})
    assert not torch_index.reachable(f"{address}/elsewhere", {})
    assert not torch_index.reachable(f"{address}/whl", {":env:.cert": "/nowhere/certificates.pem"})


@pytest.mark.parametrize("by_pip", [True, False])
def test_it_is_asked_through_the_proxy(server, monkeypatch, by_pip):
    address, asked = server
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    if not by_pip:
        monkeypatch.setenv("http_proxy", address)
    settings = {"global.proxy": address} if by_pip else {}
    assert torch_index.reachable("http://index.invalid/whl", settings)
    assert asked == ["http://index.invalid/whl/torch/"]


def test_an_index_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()
        assert not torch_index.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/whl", {}, patience=0.5)
        assert time.perf_counter() - start < 5


def test_the_script_gives_options_on_stdout_and_one_line_on_stderr(monkeypatch):
    monkeypatch.setenv("TORCH", "cuda")
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert (done.stdout.strip(), done.stderr) == ("", "PyTorch: CUDA build (TORCH=cuda)\n")
    else:
        assert "PyPI has no CUDA build for this platform" in done.stderr


def test_the_constraints_let_the_cpu_build_in():
    from packaging.requirements import Requirement

    for name in ("requirements.txt", "constraints.txt"):
        lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
        (pin,) = [Requirement(line.partition("#")[0]) for line in lines if line.startswith("torch==")]
        version = str(pin.specifier).removeprefix("==")
        assert pin.specifier.contains(f"{version}+cpu")
