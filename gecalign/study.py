"""The stages of the study and what each needs.

A `Study` is a profile, a seed and a folder. Ask it for a product and it loads it, or makes it and what
it needs:

    study = Study("tiny", seed=0)
    study.sft()                         # the trained model, with its log
    study.evaluation("sft", "dev")      # what it wrote, and how that scores

Imports of torch wait until a model is needed, so that reading stored results takes no seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, data, metrics, predictions, prompts, store
from gecalign.config import Profile
from gecalign.examples import Example
from gecalign.predictions import Prediction
from gecalign.store import Stage

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Systems that are not trained: their "model" needs no stage of its own.
UNTRAINED = ("copy", "base")


@dataclass(frozen=True, slots=True)
class SystemEvaluation:
    """A system's predictions on a split, and what they score."""

    system: str
    split: str
    predictions: tuple[Prediction, ...]
    scores: metrics.Evaluation
    stage: Stage

    @property
    def sources(self) -> list[str]:
        """What was to be corrected, a string a prediction."""
        return [p.source for p in self.predictions]

    @property
    def references(self) -> list[str]:
        """The careful corrections, in the same order."""
        return [p.reference for p in self.predictions]

    @property
    def hypotheses(self) -> list[str]:
        """What the system wrote, in the same order."""
        return [p.hypothesis for p in self.predictions]


class Study:
    """One profile with one seed. The seed covers data order, sampling and training, not the corpus."""

    def __init__(self, profile: str | Profile = "tiny", seed: int = 0, runs: Path | None = None):
        self.profile = config.profile(profile) if isinstance(profile, str) else profile
        prompts.validate(self.profile.prompt)
        self.seed = seed
        self.root = (runs or store.runs_folder()) / self.profile.name
        self.folder = self.root / f"seed-{seed}"

    # ---- the corpus

    @cached_property
    def corpus(self) -> Stage:
        """The corpus, cut into splits; shared by all seeds."""
        spec = {"data": asdict(self.profile.data), "content": data.content_digest(self.profile.data)}
        return store.obtain(self.root, "data", spec, lambda folder: data.save(data.build(self.profile.data), folder))

    def examples(self, split: str) -> tuple[Example, ...]:
        """Return the examples of a split: train, dev, test or validation."""
        return data.load_split(self.corpus.folder, split)

    # ---- models

    def sft(self) -> Stage:
        """Return the supervised model (`model/`, `log.csv`), trained from the base."""
        profile = self.profile
        return store.obtain(
            self.folder,
            "sft",
            {
                "base": self._base_identity,
                "data": self.corpus.content,
                "prompt": prompts.digest(profile.prompt),
                "sft": asdict(profile.sft),
                "decoding": asdict(profile.decoding),
                "seed": self.seed,
            },
            self._train_sft,
            announce=f"{profile.sft.steps} updates of {profile.sft.batch_size} rows; a progress bar follows.",
        )

    def _train_sft(self, folder: Path) -> dict[str, Any]:
        from gecalign import models, train

        model, tokenizer = models.load(self.profile.model)
        splits = self.examples("train"), self.examples("dev")
        profile = self.profile
        return train.sft(model, tokenizer, *splits, profile.sft, profile.prompt, profile.decoding, self.seed, folder)

    @cached_property
    def _base_identity(self) -> str:
        from gecalign import models

        return models.identity(self.profile.model)

    def log(self, system: str = "sft") -> pd.DataFrame:
        """Return the training log of a system: a row a logged update, losses in nats a token, BLEU 0-100."""
        import pandas as pd

        return pd.read_csv(self._trained(system).folder / "log.csv")

    def model(self, system: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the model and tokenizer of a system."""
        from gecalign import models

        return models.load(self.profile.model if system == "base" else self._trained(system).folder / "model")

    def _trained(self, system: str) -> Stage:
        stages = {"sft": self.sft}
        if system in UNTRAINED:
            raise ValueError(f"{system!r} is not trained, so it has neither a log nor a model of its own.")
        if system not in stages:
            raise ValueError(f"unknown system {system!r}. Systems: {', '.join([*UNTRAINED, *stages])}.")
        return stages[system]()

    # ---- what they write, and what it scores

    def evaluation(
        self,
        system: str,
        split: str = "dev",
        decoding: config.Decoding | None = None,
        prompt: config.Prompt | None = None,
        allow_other_prompt: bool = False,
    ) -> SystemEvaluation:
        """Return a system's predictions on a split and their scores; decodes where nobody has yet.

        Every decoding of the test set is counted and printed: a test set that is read often is a dev set.

        Raises:
            ValueError: there is no such system or split, the split is empty, more than one sample is asked
                for, or `prompt` is not the one that the system was trained with (see `allow_other_prompt`).
        """
        decoding, prompt = decoding or self.profile.decoding, prompt or self.profile.prompt
        examples = self.examples(split)
        _check_askable(examples, split, decoding, prompt)
        if system not in UNTRAINED and not allow_other_prompt:
            prompts.check_same(self._trained(system).record["spec"]["prompt"], prompts.digest(prompt))
        spec = {
            "system": system,
            "model": self._identity(system),
            "split": split,
            "data": self.corpus.content,
            "prompt": prompts.digest(prompt),
            "decoding": asdict(decoding),
            "seed": self.seed,
        }

        def make(folder: Path) -> dict[str, Any]:
            if split == "test" and system != "copy":  # nothing can be chosen by what copying scores
                self._count_test_reading(system)
            return _write_evaluation(self._predict(system, examples, decoding, prompt), folder)

        stage = store.obtain(self.folder, f"{system}-{split}", spec, make)
        written = predictions.read(stage.folder / "predictions.jsonl")
        return SystemEvaluation(system, split, written, _score(written), stage)

    def _identity(self, system: str) -> str:
        if system in UNTRAINED:
            return "copy" if system == "copy" else self._base_identity
        return self._trained(system).content

    def _predict(
        self, system: str, examples: Sequence[Example], decoding: config.Decoding, prompt: config.Prompt
    ) -> list[Prediction]:
        if system == "copy":
            return [Prediction(e.id, e.source, e.reference, e.source) for e in examples]
        from gecalign.decode import decode

        asked = [prompts.render(prompt, example.source) for example in examples]
        outputs = decode(*self.model(system), asked, decoding, seed=self.seed, progress=f"decoding {system}")
        return [
            Prediction(e.id, e.source, e.reference, prompts.hypothesis(o.text), o.tokens, o.truncated)
            for e, (o, *_) in zip(examples, outputs, strict=True)
        ]

    def _count_test_reading(self, system: str) -> None:
        path = self.root / "test-readings.txt"
        self.root.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{system} seed {self.seed}\n")
        count = len(path.read_text(encoding="utf-8").splitlines())
        print(f"test set of {self.profile.name}: reading {count} ({system}, seed {self.seed})", file=sys.stderr)


def _check_askable(examples: Sequence[Example], split: str, decoding: config.Decoding, prompt: config.Prompt) -> None:
    prompts.validate(prompt)
    if not examples:
        raise ValueError(f"this corpus has no {split} rows. Evaluate on another split.")
    if decoding.samples != 1:
        raise ValueError(
            f"an evaluation scores one hypothesis a sentence, and decoding__samples is {decoding.samples}. "
            "Set it to 1; for more samples call gecalign.decode.decode."
        )


def _write_evaluation(written: Sequence[Prediction], folder: Path) -> dict[str, Any]:
    predictions.write(written, folder / "predictions.jsonl")
    scores = _score(written)
    record = {"n": scores.n, **scores.row(), "signatures": scores.signatures()}
    store.write_text(folder / "metrics.json", json.dumps(record, indent=1) + "\n")
    return {"tokens": sum(p.tokens for p in written)}


def _score(written: Sequence[Prediction]) -> metrics.Evaluation:
    return metrics.evaluate(
        [p.hypothesis for p in written],
        [p.reference for p in written],
        [p.source for p in written],
        truncated=[p.truncated for p in written],
    )
