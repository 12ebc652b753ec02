"""Lines in, lines out: what `gecalign correct` does in a pipe.

Every line that comes in gives exactly one that goes out, in order, and goes out as soon as it is corrected. Lines are
cleaned as the rows of a corpus are (`examples.cleaned`); outputs are, too, so that none holds a line end. Lines that
are waiting are corrected together, `AT_ONCE` at most: a file is corrected in full batches, and who types, or sends a
line now and then, waits for no other line.

Lines end as they do in every file (`gecalign.corpus.textfiles`), and a file may be compressed or in UTF-16, as there.
A stream is read line by line, in one encoding; what can be seen of it in time is refused as a file would be: what is no
text, JSON, a table, M2.
"""

from __future__ import annotations

import codecs
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gecalign import prompts
from gecalign.config import Decoding, Engine, Prompt
from gecalign.corpus import textfiles
from gecalign.corpus.examples import cleaned
from gecalign.corpus.rowfiles import BAR, SEPARATORS, looks_like
from gecalign.corpus.textfiles import STANDARD_INPUT, check_is_text, likely_encoding
from gecalign.runtime import processes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AT_ONCE = 512
FIRST_LINES = 2  # of a stream, by which M2 and tables are known
NOT_SENTENCES = {  # what a file looks like that holds no sentences alone, in words, and how to take them out
    "JSON": ("holds JSON", "jq -r .source FILE"),
    "table": ("looks like a table", "tail -n +2 FILE | cut -f2"),
    "markup": ("holds markup, such as XML or HTML", "sed 's/<[^>]*>//g' FILE"),
    "M2": ("is M2, tokens and edits", "grep '^S ' FILE | cut -c3-"),
}


@dataclass(frozen=True, slots=True)
class Asker:
    """A model, and how it is asked."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: Prompt
    decoding: Decoding
    engine: Engine | None = None

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.model.config.max_position_embeddings - self.decoding.max_new_tokens

    @property
    def at_once(self) -> int:
        """Lines that are corrected together; samples, which depend on what is drawn together, come one by one."""
        return 1 if self.decoding.temperature > 0 else AT_ONCE


@dataclass(frozen=True, slots=True)
class Corrected:
    """A line and what became of it."""

    number: int  # counted from 1
    source: str  # cleaned
    correction: str
    truncated: bool = False  # the output reached the length limit
    skipped: str = ""  # why the line was passed on as it is; empty where it was corrected

    def row(self) -> dict[str, str | bool]:
        """Return what JSON tells of it."""
        row: dict[str, str | bool] = {"source": self.source, "correction": self.correction, "truncated": self.truncated}
        return row | ({"skipped": self.skipped} if self.skipped else {})


def read(stream: Iterable[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a stream, cleaned; a last one without a line feed is one, too.

    Raises:
        ValueError: a line is no text or not of this encoding, or the first two show that these are no lines of
            sentences; those before it have been given.
    """
    start = ""
    for number, line in enumerate(_ended(stream), start=1):
        if number == 1 or b"\0" in line:
            check_is_text(f"line {number} of {name}", line, STANDARD_INPUT)
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            found = "utf-16" if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else likely_encoding(line)
            raise ValueError(
                f"line {number} of {name} is not {encoding.upper()}: byte {line[error.start]:#04x} at position "
                f"{error.start}. Convert it before, for example with: iconv -f {found} -t utf-8"
            ) from None
        if number <= FIRST_LINES:
            start += text
            check_are_sentences(start, name)
        yield cleaned(text)


def read_file(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, cleaned; of a pipe, as they come.

    Raises:
        ValueError: there is no such file, or it is not one of sentences, a line each, in UTF-8.
    """
    if textfiles.unnamed(path):
        with path.open("rb") as stream:
            yield from read(stream, str(path))
        return
    text = textfiles.read_text(path)
    check_are_sentences(text, str(path))
    yield from map(cleaned, textfiles.lines(text) if text else ())


def check_are_sentences(text: str, name: str) -> None:
    """Raise ValueError where a text, or its beginning, is that of JSON, markup, a table or M2.

    A single word, or sentences in quotes, are sentences here, whatever they look like.
    """
    kind, first = looks_like(text), text.lstrip("\ufeff").split("\n", 1)[0]
    if kind is None or (kind == "table" and not any(mark in first for mark in (*SEPARATORS, BAR))) or first[:1] == '"':
        return
    what, way_out = NOT_SENTENCES[kind]
    raise ValueError(
        f"{name} {what}, and what is corrected is one sentence a line. Take the sentences out first, for example with: "
        f"{way_out}"
    )


def _ended(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines as they end in files: by line feeds, and where there is none, by carriage returns."""
    for number, line in enumerate(stream):
        if number or line.endswith(b"\n"):
            yield line
        else:
            yield from line.removesuffix(b"\r").split(b"\r")


def each(lines: Iterator[str], ask: Callable[[], Asker]) -> Iterator[Corrected]:
    """Correct cleaned lines as they come; where several processes run, all of them correct what the main one reads.

    Args:
        ask: loads the model, once there is a line.
    """
    taken = waiting(lines) if processes.is_main() else iter(())
    asker, number = None, 1
    while (some := processes.from_main(lambda: next(taken, None))) is not None:
        asker = asker or ask()
        for start in range(0, len(some), asker.at_once):
            yield from correct(some[start : start + asker.at_once], asker, number + start)
        number += len(some)


def waiting(lines: Iterator[str], at_once: int = AT_ONCE) -> Iterator[list[str]]:
    """Yield lines in lists: all that are there, `at_once` at most, and at least one, which alone is waited for.

    They are read in a thread, from now on. What reading raises comes after the lines before it.
    """
    there: queue.Queue[str | BaseException | None] = queue.Queue(at_once)

    def fill() -> None:
        try:
            for line in lines:
                there.put(line)
            there.put(None)
        except BaseException as error:  # it belongs to whoever takes the lines
            there.put(error)

    threading.Thread(target=fill, daemon=True).start()
    return _taken(there, at_once)


def _taken(there: queue.Queue[str | BaseException | None], at_once: int) -> Iterator[list[str]]:
    while True:
        found = [there.get()]
        while isinstance(found[-1], str) and len(found) < at_once and not there.empty():
            found.append(there.get())
        if taken := [line for line in found if isinstance(line, str)]:
            yield taken
        if isinstance(found[-1], BaseException):
            raise found[-1]
        if found[-1] is None:
            return


def correct(lines: Sequence[str], asker: Asker, first: int = 1) -> list[Corrected]:
    """Correct cleaned lines together, and return as many, in order.

    An empty line is one that goes out empty. One that does not fit into the model's context goes out as it came.

    Args:
        first: the number of the first line.

    Raises:
        ValueError: not even an empty line would fit, or more than one sample is asked for.
    """
    from gecalign.models.decode import decode

    check(asker)
    asked = {i: prompts.render(asker.prompt, line) for i, line in enumerate(lines) if line}
    sizes = dict(zip(asked, _sizes(asker, list(asked.values())), strict=True))
    fitting = [i for i in asked if sizes[i] <= asker.room]
    outputs = decode(
        (asker.model, asker.tokenizer), [asked[i] for i in fitting], asker.decoding, seed=first,
        progress="correcting" if len(fitting) > 1 else None, engine=asker.engine,
    )  # fmt: skip
    written = {i: output for i, (output,) in zip(fitting, outputs, strict=True)}
    return [
        Corrected(first + i, line, cleaned(prompts.hypothesis(written[i].text)), written[i].truncated)
        if i in written else Corrected(first + i, line, line, skipped=_why(asker, sizes[i]) if i in sizes else "")
        for i, line in enumerate(lines)
    ]  # fmt: skip


def check(asker: Asker) -> None:
    """Raise ValueError where no line could be corrected: none would fit, or more than one sample is asked for."""
    if asker.decoding.samples != 1:
        raise ValueError(
            f"one correction a line is written, and decoding__samples is {asker.decoding.samples}: expected 1."
        )
    least = _sizes(asker, [prompts.render(asker.prompt, "")])[0]
    if least >= asker.room:
        raise ValueError(
            f"decoding__max_new_tokens is {asker.decoding.max_new_tokens}, and the model's context has "
            f"{asker.model.config.max_position_embeddings} tokens, {least} of which the prompt needs: no sentence "
            "fits. It must be lower."
        )


def _sizes(asker: Asker, asked: list[str]) -> list[int]:
    return [len(ids) for ids in asker.tokenizer(asked, verbose=False)["input_ids"]] if asked else []


def _why(asker: Asker, size: int) -> str:
    new, context = asker.decoding.max_new_tokens, asker.model.config.max_position_embeddings
    return (
        f"too long: its prompt has {size} tokens, which with {new} new ones do not fit into the model's context of "
        f"{context}"
    )
