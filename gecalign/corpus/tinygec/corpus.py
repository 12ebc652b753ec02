"""TinyGEC as a corpus: pairs of a learner's sentence and its correction, in four splits.

The same seed gives the same bytes. Every example has a random stream of its own, named after seed, split
and position, so that fewer rows are the beginning of more rows; and the hasty annotator has another, so
that `miss` changes the demonstrations and nothing else.

No sentence of a split, source or reference, stands in an earlier split (they are drawn in the order
test, dev, train, preference), and no pair stands twice in a split. What that rejects is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gecalign.corpus.edits import apply_edits
from gecalign.corpus.examples import Corpus, Example
from gecalign.corpus.texts import Reference, several
from gecalign.corpus.tinygec.annotators import Miss, check_miss, hasty
from gecalign.corpus.tinygec.errors.model import corrupt
from gecalign.corpus.tinygec.grammar.sentences import detokenize, sentence

if TYPE_CHECKING:
    from gecalign.config import Data

SPLITS = ("test", "dev", "train", "preference")  # in the order in which they are drawn
SHARED, REPEATED = "sentence of an earlier split", "pair repeated within a split"
MOST_DRAWS = 1000  # for one example, before saying that the grammar has run out of sentences


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split, and how many draws were rejected for which reason."""

    examples: tuple[Example, ...]
    rejected: Mapping[str, int]

    def texts(self) -> set[str]:
        """Return every source and reference."""
        return {text for example in self.examples for text in (example.source, *several(example.reference))}


def generate(
    split: str,
    rows: int,
    seed: int,
    miss: Miss = 0.0,
    exclude: Collection[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> Split:
    """Generate `rows` examples of a split.

    Args:
        split: names the random streams and the ids ("test-000012").
        rows: how many examples.
        seed: of the corpus.
        miss: how likely the annotator of the demonstrations is to overlook an error: a probability, or
            one for each error type (`gecalign.corpus.tinygec.annotators.hasty`). 0: demonstrations are complete.
        exclude: sentences that may be neither source nor reference.
        progress: called with the number of examples so far after each.

    Raises:
        ValueError: `miss` is no probability, or `rows` is negative or more than the grammar can give.
    """
    check_miss(miss)
    if rows < 0:
        raise ValueError(f"rows must be 0 or more, and is {rows}.")
    excluded = exclude if isinstance(exclude, (set, frozenset)) else frozenset(exclude)
    examples: list[Example] = []
    seen: set[tuple[str, Reference]] = set()
    rejected: Counter[str] = Counter()

    def refused(source: str, reference: str) -> str:
        if source in excluded or reference in excluded:
            return SHARED
        return REPEATED if (source, reference) in seen else ""

    for position in range(rows):
        example = _example(f"{seed}/{split}/{position}", f"{split}-{position:06d}", miss, refused, rejected)
        seen.add((example.source, example.reference))
        examples.append(example)
        if progress:
            progress(position + 1)
    return Split(tuple(examples), dict(rejected))


def generate_splits(rows: Mapping[str, int], seed: int, miss: Miss = 0.0) -> dict[str, Split]:
    """Generate the splits that `rows` names (see `SPLITS`), sharing no sentence."""
    unknown = sorted(rows.keys() - set(SPLITS))
    if unknown:
        raise ValueError(f"unknown splits {unknown}. Choose from {', '.join(SPLITS)}.")
    earlier: set[str] = set()
    splits: dict[str, Split] = {}
    for name in SPLITS:
        if name in rows:
            splits[name] = generate(name, rows[name], seed, miss, earlier)
            earlier |= splits[name].texts()
    return splits


def build(config: Data) -> Corpus:
    """Generate the corpus that a profile asks for.

    Raises:
        ValueError: the number of training rows is not given: a generated corpus has no size of its own.
    """

    if config.train_rows is None:
        raise ValueError("TinyGEC is as large as you want: give data.train_rows a number of rows.")
    rows = {
        "test": config.test_rows,
        "dev": config.dev_rows,
        "train": config.train_rows,
        "preference": config.preference_rows,
    }
    splits = generate_splits(rows, config.seed, config.miss)
    rejected = sum((Counter(split.rejected) for split in splits.values()), Counter[str]())
    return Corpus(**{name: split.examples for name, split in splits.items()}, dropped=dict(rejected))


def _example(stream: str, name: str, miss: Miss, refused: Callable[[str, str], str], rejected: Counter[str]) -> Example:
    """Draw from a stream until a pair is not refused; `refused` tells the reason, which is counted."""
    rng = Random(stream)
    for _ in range(MOST_DRAWS):
        tokens = sentence(rng)
        reference = detokenize(tokens)
        source, edits = corrupt(tokens, rng)
        if reason := refused(source, reference):
            rejected[reason] += 1
        else:
            shown = apply_edits(source, hasty(edits, Random(f"{stream}/hasty"), miss))
            return Example(name, source, reference, shown, edits)
    raise ValueError(
        f"no new sentence in {MOST_DRAWS} draws for {name}: the grammar has no more to give. Ask for fewer rows."
    )
