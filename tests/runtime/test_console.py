import io
import json
import sys

import pytest

from gecalign import cli
from gecalign.runtime import console


@pytest.fixture(params=["ascii", "cp1252", "utf-8"])
def out(request) -> io.TextIOWrapper:
    """A standard output of an encoding, as strict as Python's."""
    return io.TextIOWrapper(io.BytesIO(), encoding=request.param, write_through=True)


def shown(out: io.TextIOWrapper, write, *arguments: object) -> str:
    """Return what a console has on it once something was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        console.prepare()
        write(*arguments)
    return out.buffer.getvalue().decode(out.encoding)


TEXTS = ["±0.5 …", "▲ better", "日本", "naïve", "\u2212 1", "\N{REPLACEMENT CHARACTER}", "\U0001f600"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("write", [console.tell, print], ids=["tell", "print"])
def test_every_text_can_be_shown_in_every_encoding_and_what_can_be_is_unchanged(out, text, write):
    line = shown(out, write, text).removesuffix("\n")
    assert line
    try:
        text.encode(out.encoding)
    except UnicodeEncodeError:
        assert line != text
    else:
        assert line == text


@pytest.mark.parametrize("text", TEXTS)
def test_json_is_the_same_in_every_encoding(out, text):
    assert json.loads(shown(out, console.tell_json, {text: text})) == {text: text}


def test_texts_pass_through_a_pipe_as_utf_8_unless_the_variable_says_otherwise(out, monkeypatch):
    encoding = out.encoding
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    assert console.encoding_of_texts(out) == "utf-8"
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    assert console.encoding_of_texts(out) == encoding
    monkeypatch.delenv("PYTHONIOENCODING")
    monkeypatch.setattr(out, "isatty", lambda: True, raising=False)
    assert console.encoding_of_texts(out) == encoding


def test_an_error_can_be_shown_in_every_encoding(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "argv", ["gecalign", "profiles", "日本"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert stream.buffer.getvalue().startswith(b"gecalign: unknown profile '\\u65e5")
