"""`gecalign correct -` between two pipes, as a process of its own; what stands for a model needs no torch."""

import os
import signal
import subprocess
import sys

import pytest

CODE = """
import sys, types
from gecalign import cli
from gecalign.cli import lines, models
from gecalign.config import Decoding, Prompt

Completion = lambda text: types.SimpleNamespace(text=text, truncated=False)
written = lambda loaded, prompts, config, **_: [[Completion(prompt.upper())] for prompt in prompts]
sys.modules["gecalign.models.decode"] = types.SimpleNamespace(decode=written)
model = types.SimpleNamespace(config=types.SimpleNamespace(max_position_embeddings=1000))
tokenizer = lambda texts, verbose: {"input_ids": [list(text) for text in texts]}
models._trained = lambda *_: lambda: lines.Asker(model, tokenizer, Prompt("{source}"), Decoding())
cli.main()
"""


@pytest.fixture
def start():
    """Return a function that starts `gecalign correct -`; what it started is ended with the test."""
    started: list[subprocess.Popen] = []

    def begin(*options: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", CODE, "correct", "-", *options]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | environment))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()


def send(process: subprocess.Popen, data: bytes) -> None:
    process.stdin.write(data)
    process.stdin.flush()


@pytest.mark.parametrize("form", ["--plain", "--json", "--seed=0"])
def test_each_line_comes_out_while_the_input_is_still_open(start, form):
    process = start(form)
    for text in (b"one", b"two"):
        send(process, text + b"\n")
        assert text.upper() in process.stdout.readline()
    assert process.poll() is None


def test_a_reader_that_leaves_ends_it_without_a_traceback(start):
    process = start("--plain")
    send(process, b"one\n")
    assert process.stdout.readline() == b"ONE\n"
    process.stdout.close()
    send(process, b"two\n" * 1000)  # the input stays open: it does not wait for its end
    assert process.wait(30) in (1, -signal.SIGPIPE)
    assert process.stderr.read() == b""


def test_ctrl_c_ends_it_quietly_and_what_was_corrected_is_out(start):
    process = start("--plain")
    send(process, b"one\n")
    assert process.stdout.readline() == b"ONE\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == b""  # nothing is kept that a second call would go on from


@pytest.mark.parametrize(
    ("encoding", "came", "goes"),
    [
        (None, "naïve ±😀\n".encode(), "NAÏVE ±😀\n".encode()),
        ("cp1252", "naïve ±\n".encode("cp1252"), "NAÏVE ±\n".encode("cp1252")),
        ("ascii", b"plain\n", b"PLAIN\n"),
    ],
)
def test_texts_leave_in_the_encoding_in_which_they_come(start, encoding, came, goes):
    environment = (
        {"PYTHONIOENCODING": encoding} if encoding else {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    )
    out, err = start("--plain", **environment).communicate(came, timeout=30)
    assert (out, err) == (goes, b"")


def test_a_hundred_thousand_lines_come_out_as_they_went_in_by_number_and_order(start):
    out, _ = start("--plain").communicate(b"".join(b"line %d\n" % i for i in range(100_000)), timeout=100)
    assert out == b"".join(b"LINE %d\n" % i for i in range(100_000))
