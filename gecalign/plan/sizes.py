"""How many texts a study has and how long they are, as far as that can be known before anything is loaded from a hub.

From the corpus where it is made already, or is generated or local, else from what is known about CoEdIT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from gecalign import prompts
from gecalign.corpus import data, jfleg
from gecalign.corpus.texts import several
from gecalign.runtime import store

if TYPE_CHECKING:
    from gecalign.config import Model, Profile
    from gecalign.corpus.examples import Example
    from gecalign.study import Study

COEDIT = "grammarly/coedit"
COEDIT_ROWS = {"train": 19_823, "validation": 485}  # with the task gec
# Log-normal: a mean of 60 SmolLM tokens, 4 % of the texts are longer than 128.
COEDIT_MEDIAN, COEDIT_SPREAD = 52.8, 0.506
TOKENS_A_WORD = 1.3  # of SmolLM's tokenizer, punctuation included
CHARACTERS_A_TOKEN = 4
SAMPLE = 500  # texts that lengths are taken from


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of each split; lengths in tokens. A source is taken to be as long as its reference."""

    rows: Mapping[str, int]
    lengths: tuple[int, ...]  # of references and their EOS, sorted: a sample
    template: int  # of a prompt, beside its source
    assumptions: tuple[str, ...]  # in words: what is not counted but supposed

    @property
    def text(self) -> float:
        """Mean tokens of a reference."""
        return fmean(self.lengths)

    @property
    def prompt(self) -> float:
        """Mean tokens of a prompt."""
        return self.template + self.text

    def longest(self, count: float) -> float:
        """Return the expected tokens of the longest of so many texts, drawn at random."""
        n = len(self.lengths)
        return sum(x * (((i + 1) / n) ** count - (i / n) ** count) for i, x in enumerate(self.lengths))

    def longest_of_sorted(self, batches: int) -> float:
        """Return the tokens of the longest text of a batch, on average, where texts were sorted before batching."""
        n = len(self.lengths)
        return fmean(self.lengths[n - 1 - i * n // batches] for i in range(min(batches, n)))


def of(study: Study) -> Sizes:
    """Return the sizes of a study's texts; makes nothing, and asks no hub.

    Raises:
        ValueError: the corpus is on a hub and not one that is known.
    """
    profile = study.profile
    found = _made(study) or _quickly_built(profile)
    if found is None:
        return _known(profile)
    rows, texts = found
    count, assumption = _tokenizer(profile.model)
    lengths = tuple(sorted(count(prompts.completion(text)) + 1 for text in texts))
    return Sizes(rows, lengths, count(prompts.render(profile.prompt, "")), (assumption,) if assumption else ())


Found = tuple[Mapping[str, int], Sequence[str]]  # rows of each split, and some references


def _made(study: Study) -> Found | None:
    try:
        with store.only_existing():
            stage = study.variant(study.profile).corpus
    except store.NotMade:
        return None
    return stage.facts["rows"], _some(data.load_split(stage.folder, "train"))


def _quickly_built(profile: Profile) -> Found | None:
    config = profile.data
    if config.source == "tinygec":
        rows = {split: getattr(config, f"{split}_rows") or 0 for split in ("train", "preference", "dev", "test")}
        few = replace(config, train_rows=SAMPLE, preference_rows=0, dev_rows=1, test_rows=1)
        return {**rows, "validation": 0}, _some(data.build(few).train)
    if config.source != jfleg.NAME and not Path(config.source).expanduser().exists():
        return None
    corpus = data.build(config)
    return {split: len(getattr(corpus, split)) for split in data.SPLITS}, _some(corpus.train)


def _known(profile: Profile) -> Sizes:
    config = profile.data
    if config.source != COEDIT:
        raise ValueError(
            f"nothing is known about the data set {config.source!r}. Make the corpus first (`gecalign run data`), or "
            "give a local file or folder (data.source)."
        )
    left = COEDIT_ROWS["train"] - config.test_rows - config.dev_rows - config.preference_rows
    rows = {
        "train": min(left, config.train_rows or left), "preference": config.preference_rows, "dev": config.dev_rows,
        "test": config.test_rows, "validation": COEDIT_ROWS["validation"],
    }  # fmt: skip
    curve = NormalDist(0, COEDIT_SPREAD)
    drawn = (COEDIT_MEDIAN * 2.718281828459045 ** curve.inv_cdf((i + 0.5) / SAMPLE) for i in range(SAMPLE))
    lengths = tuple(min(round(x), config.max_chars // CHARACTERS_A_TOKEN) + 1 for x in drawn)
    template = round(TOKENS_A_WORD * (1 + len(profile.prompt.template.split())))
    assumed = (
        f"The corpus is not here yet: CoEdIT has {COEDIT_ROWS['train']:,} rows with the task gec (fewer when cleaned), "
        "sentences of 60 SmolLM tokens on average, 4 % of them longer than 128."
    )
    return Sizes(rows, lengths, template, (assumed,))


def _some(examples: Sequence[Example]) -> list[str]:
    """Return references of examples from all over the split."""
    return [several(example.reference)[0] for example in examples[:: max(1, len(examples) // SAMPLE)]]


def _tokenizer(model: Model):  # type: ignore[no-untyped-def]
    from gecalign.models import loading

    folder = loading.local_folder(model)
    if folder is None:
        assumption = f"The tokenizer is not here: a word is taken for {TOKENS_A_WORD} tokens."
        return (lambda text: round(TOKENS_A_WORD * len(text.split()))), assumption
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    return (lambda text: len(tokenizer(text)["input_ids"])), None
