"""What the doctor's checks have in common: what one says, and what several of them look at."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from gecalign import prompts
from gecalign.corpus.texts import several
from gecalign.preferences.pairs import PreferencePair
from gecalign.runtime import bars
from gecalign.training.setup import Asking, Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gecalign.config import Engine, Profile
    from gecalign.corpus.examples import Example
    from gecalign.plan.steps import Plan
    from gecalign.study import Study

Status = Literal["pass", "warn", "fail"]
Finding = tuple[Status, str]  # one of several things that a check looks at, and what there is to say of it

ROWS = 8  # that are looked at token by token
LISTED = 4  # names of a row


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what came out."""

    name: str
    status: Status
    words: str


@dataclass(eq=False)
class Patient:
    """The study that is examined. What takes long to load is loaded once, and let go with the patient."""

    study: Study

    @property
    def profile(self) -> Profile:
        """What is to be run."""
        return self.study.profile

    @property
    def engine(self) -> Engine:
        """The profile's engine, without those parts that would start a server or a tracker."""
        return replace(self.profile.engine, sampler="transformers", report_to="none")

    def run(self, folder: Path) -> Run:
        """How a training is set up that is only looked at."""
        asking = Asking(self.profile.prompt, self.profile.decoding, self.engine)
        return Run(folder, asking, lora=self.profile.lora)

    @cached_property
    def base(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The base model as the study loads it, with its tokenizer."""
        return self.study.model("base")

    @cached_property
    def plan(self) -> Plan:
        """What the study will take; how long it takes with a small model is not measured, which would take longer."""
        from gecalign import plan
        from gecalign.models import memory
        from gecalign.plan.rates import Speed

        size = memory.shape(self.profile.model).parameters
        usual = Speed(token=1e-10 * size, update=3e-9 * size, step=5e-3, row=1e-10 * size)  # of two cores
        rates = usual if size < plan.LARGE else None
        try:
            return plan.make(self.study, rates=rates)
        except ValueError:  # it knows nothing of a corpus that is not there yet
            self.study.corpus  # noqa: B018 - made by being asked for
            return plan.make(self.study, rates=rates)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the base model."""
        return self.base[1]

    @cached_property
    def train(self) -> tuple[Example, ...]:
        """The demonstrations."""
        return self.study.examples("train")

    def stand_in(self) -> PreTrainedModel:
        """Return a model of next to no size with the tokenizer's vocabulary, for trainers that only read texts."""
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = self.tokenizer
        special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **special))

    def pairs(self) -> list[PreferencePair]:
        """Return pairs in which the corpus's correction is preferred to its source, to be had without any model."""
        prompt, found = self.profile.prompt, list[PreferencePair]()
        for e in self.train:
            reference = several(e.reference)[0]
            if e.source != reference and len(found) < ROWS:
                chosen, rejected = (prompts.completion(text) for text in (reference, e.source))
                found.append(PreferencePair(e.id, prompts.render(prompt, e.source), chosen, rejected, e.source,
                                            e.reference, 1.0, 0.0, None, None, "bleu", "reference"))  # fmt: skip
        return found


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder to a trainer that is only looked at, and keep it quiet meanwhile."""
    with quiet(), TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the progress bars of the libraries, and what they say about their future."""
    with bars.hidden(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def together(name: str, found: Sequence[Finding]) -> Check:
    """Return what several findings come to: the worst of their outcomes, and all that they say."""
    return Check(name, worst(*(status for status, _ in found)), " ".join(words for _, words in found))


def worst(*found: Status) -> Status:
    """Return the worst of several outcomes."""
    return max(found, key=("pass", "warn", "fail").index)


def listed(names: Sequence[str]) -> str:
    """Return names in a row, no more than a reader takes in."""
    more = [f"{len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join([*names[:LISTED], *more])
