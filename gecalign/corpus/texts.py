"""What the measures take: parallel lists of sentences, checked, and the words of a sentence.

Every measure of this package goes through `check_parallel`, so that a list of the wrong length or a `None`
among the hypotheses is reported in one way, before anything is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Reference = str | tuple[str, ...]  # the correction of a sentence, or several by several people
References = Sequence[str] | Sequence[Sequence[str]]  # one reference a sentence, or several

# A word keeps its inner apostrophes and hyphens ("don't", "well-known"), a number its inner marks ("3.5");
# any other character that is not a space is a token of its own.
WORD = re.compile(r"\w+(?:(?:['’-]|(?<=\d)[.,:](?=\d))\w+)*|[^\w\s]")
WORDS_VERSION = "words-1"  # stands in the signatures: change it whenever WORD changes


def words(text: str) -> list[str]:
    """Return the words and punctuation marks of `text`; case is kept.

    >>> words("Don't pay $3.50, Anna!")
    ["Don't", 'pay', '$', '3.50', ',', 'Anna', '!']
    """
    return WORD.findall(text)


def several(reference: str | Sequence[str]) -> tuple[str, ...]:
    """Return the corrections of a sentence, also where there is only one.

    >>> several("She goes."), several(["She goes.", "She went."])
    (('She goes.',), ('She goes.', 'She went.'))
    """
    return (reference,) if isinstance(reference, str) else tuple(reference)


def as_reference(found: str | Sequence[str]) -> Reference:
    """Return corrections as a corpus holds them, also where JSON or a data set has made a list of them."""
    return found if isinstance(found, str) else tuple(found)


def at_blanks(text: str) -> list[str]:
    """Return what stands between blanks: the words of a text that is tokenised already."""
    return text.split()


def check_parallel(
    hypotheses: Sequence[str], references: References, sources: Sequence[str]
) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Return the three lists, each sentence with a tuple of references.

    Raises:
        ValueError: a list is empty, is a single string, holds something that is not a string, or has
            another length than the hypotheses; a sentence has no reference, or a blank one.
    """
    checked = check_strings("hypotheses", hypotheses)
    several = [_references_of(i, entry) for i, entry in enumerate(_entries("references", references))]
    _check_not_transposed(len(checked), several)
    check_length("references", len(several), len(checked))
    checked_sources = check_strings("sources", sources)
    check_length("sources", len(checked_sources), len(checked))
    return checked, several, checked_sources


def check_strings(name: str, texts: Iterable[str]) -> list[str]:
    """Return `texts` as a list; raise `ValueError` if it is empty or an entry is not a string."""
    entries = _entries(name, texts)
    for i, text in enumerate(entries):
        if not isinstance(text, str):
            raise ValueError(
                f"{name}[{i}] is {text!r} ({type(text).__name__}); expected a string. "
                "An output without any text is the empty string ''."
            )
    return entries


def check_length(name: str, length: int, expected: int) -> None:
    """Raise `ValueError` unless the list called `name` is as long as the hypotheses."""
    if length != expected:
        raise ValueError(
            f"{name} has {length} entries and hypotheses has {expected}: expected one per sentence, in the "
            "same order. Check that no row was dropped from one of the lists."
        )


def _entries(name: str, texts: Iterable[str] | References) -> list:
    if isinstance(texts, str):
        raise ValueError(
            f"{name} is one string, {texts[:40]!r}; expected a list of strings. Pass [text] for a single one."
        )
    if texts is None:
        raise ValueError(f"{name} is None; expected a list of strings, one per sentence.")
    entries = list(texts)
    if not entries:
        raise ValueError(f"{name} is empty: there is nothing to score. Pass at least one sentence.")
    return entries


def _references_of(index: int, entry: str | Sequence[str]) -> tuple[str, ...]:
    several = (entry,) if isinstance(entry, str) or not isinstance(entry, Sequence) else tuple(entry)
    if not several:
        raise ValueError(f"references[{index}] is an empty list: a sentence needs at least one reference.")
    for reference in several:
        if not isinstance(reference, str) or not reference.strip():
            raise ValueError(
                f"references[{index}] holds {reference!r} ({type(reference).__name__}); expected a sentence. "
                "Leave out rows that have no correction."
            )
    return several


def _check_not_transposed(count: int, several: list[tuple[str, ...]]) -> None:
    if len(several) != count and all(len(references) == count for references in several):
        raise ValueError(
            f"references has {len(several)} lists of {count}: that is one list per reference set, as "
            "sacreBLEU takes them. Here each sentence has its references: pass list(zip(*references))."
        )
