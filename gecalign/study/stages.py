"""The stages of the study and what each needs.

A `Study` is a profile, a seed and a folder. Ask it for a product and it loads it, or makes it and what
it needs:

    study = Study("tiny", seed=0)
    study.sft()                         # the trained model, with its log
    study.evaluation("sft", "dev")      # what it wrote, and how that scores

Imports of torch wait until a model is needed, so that reading stored results takes no seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, prompts
from gecalign.config import Profile
from gecalign.corpus import data
from gecalign.corpus.examples import Example
from gecalign.metrics.predictions import Prediction
from gecalign.preferences import pairs, reward_check, rewards
from gecalign.runtime import files, store
from gecalign.runtime.store import Stage
from gecalign.study import constant, evaluation
from gecalign.study.evaluation import SystemEvaluation
from gecalign.systems import DECODED, UNTRAINED, WITHOUT_MODEL
from gecalign.training.setup import Asking, Run

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


TRAINED: dict[str, Callable[[Study], Stage]] = {}  # what makes each trained system; see `trains`


def trains(system: str) -> Callable[[Callable[[Study], Stage]], Callable[[Study], Stage]]:
    """Declare, above a function of `gecalign.study.trained`, that it makes this system."""

    def declare(make: Callable[[Study], Stage]) -> Callable[[Study], Stage]:
        TRAINED[system] = make
        return make

    return declare


class Study:
    """One profile with one seed. The seed covers data order, sampling and training, not the corpus."""

    def __init__(self, profile: str | Profile = "tiny", seed: int = 0, runs: Path | None = None):
        self.profile = profile if isinstance(profile, Profile) else config.profile(profile)
        config.check(self.profile)
        self.seed = config.check_seed(seed)
        for prompt in (self.profile.prompt, self.profile.mismatched_prompt):
            if prompt is not None:
                prompts.validate(prompt)
        asked = {"pairs": self.profile.pairs.reward} | {
            config.part_of(one): one.reward for one in config.online(self.profile)
        }
        for part, expression in asked.items():
            try:
                rewards.objective(expression)
            except ValueError as error:
                raise ValueError(f"{part}__reward: {error}") from None
        pairs.check(self.profile.pairs)
        self.root = (runs or store.runs_folder()) / self.profile.name
        self.folder = self.root / f"seed-{self.seed}"

    def variant(self, profile: Profile) -> Study:
        """Return the study of another profile with the same seed, in the same folder of runs."""
        return Study(profile, self.seed, self.root.parent)

    # ---- the corpus

    @cached_property
    def corpus(self) -> Stage:
        """The corpus, cut into splits; shared by all seeds."""
        spec = {"data": asdict(self.profile.data), "content": data.content_digest(self.profile.data)}
        return store.obtain(self.root, "data", spec, lambda folder: data.save(data.build(self.profile.data), folder))

    def examples(self, split: str) -> tuple[Example, ...]:
        """Return the examples of a split: train, dev, test or validation."""
        return data.load_split(self.corpus.folder, split)

    def prompted(self, split: str, count: int | None = None) -> tuple[Example, ...]:
        """Return the examples that pairs or rewards ask about.

        Raises:
            ValueError: the split is empty.
        """
        examples = self.examples(split)[:count]
        if not examples:
            raise ValueError(
                f"pairs and rewards ask about the split {split}, and this corpus has no {split} rows. Set "
                "data__preference_rows, or pairs__split and grpo__split to train (chapter 3 says what that costs)."
            )
        return examples

    # ---- trained systems: each the product of one function of `gecalign.study.trained`

    def trained(self, system: str) -> Stage:
        """Return the stage of a trained system (`model/`, `log.csv`), made if need be.

        Raises:
            ValueError: there is no such system, or it is not trained.
        """
        if system in UNTRAINED:
            raise ValueError(
                f"{system!r} is not trained, so it has neither a log nor a model of its own. Trained systems: "
                f"{', '.join(TRAINED)}."
            )
        if system not in TRAINED:
            raise ValueError(f"unknown system {system!r}. Systems: {', '.join([*UNTRAINED, *TRAINED])}.")
        return TRAINED[system](self)

    def sft(self) -> Stage:
        """Return the supervised model, trained from the base on the demonstrations."""
        return self.trained("sft")

    def dpo(self) -> Stage:
        """Return the model that DPO trains on the preference pairs, from SFT and with SFT as the reference."""
        return self.trained("dpo")

    def grpo(self) -> Stage:
        """Return the model that GRPO trains on its own samples and the reward, from SFT."""
        return self.trained("grpo")

    @property
    def asking(self) -> Asking:
        """How models are asked."""
        return Asking(self.profile.prompt, self.profile.decoding, self.profile.engine, self.seed)

    @property
    def conditions(self) -> dict[str, Any]:
        """What decides a product, whatever it is: the corpus, how models are asked, the seed."""
        return {
            "data": self.corpus.content,
            "prompt": prompts.digest(self.profile.prompt),
            "decoding": config.decides(self.profile.decoding),
            "seed": self.seed,
        }

    def run(self, folder: Path, start_score: float | None = None) -> Run:
        """How a model is trained into a folder."""
        profile = self.profile
        return Run(folder, self.asking, self.examples("dev"), profile.lora, profile.yardstick.metric, start_score)

    # ---- preferences

    def samples(self) -> Stage:
        """Return what the SFT model draws for the prompts of the pairs (`samples.jsonl`)."""
        settings = self.profile.pairs
        examples = self.prompted(settings.split, settings.prompts)
        drawing = ("split", "prompts", "samples", "temperature", "second_temperature", "top_p")
        spec = {
            "sft": self.sft().content,
            "prompt": prompts.digest(self.profile.prompt),
            **{name: getattr(settings, name) for name in drawing},
            "max_new_tokens": self.profile.decoding.max_new_tokens,
            "batch_tokens": self.profile.decoding.batch_tokens,  # samples depend on it
            "data": self.corpus.content,
            "seed": self.seed,
        }

        def make(folder: Path) -> dict[str, Any]:
            from gecalign.training import sampling

            drawn = sampling.draw(self.model("sft"), examples, settings, self.asking)
            files.write_jsonl(drawn, folder / "samples.jsonl")
            return {"tokens": sum(sample.tokens for prompted in drawn for sample in prompted.samples)}

        return store.obtain(self.folder, "samples", spec, make, announce=f"{settings.samples} samples a prompt.")

    def pairs(self) -> Stage:
        """Return the preference pairs made of the samples: `pairs.jsonl`, `held_out.jsonl`, the funnel in the facts."""
        settings = self.profile.pairs
        pairs.check_comparable(settings)  # before SFT is trained for it
        samples = self.samples()
        ranking = ("reward", "selection", "minimum_margin", "count", "held_out")
        spec = {
            "samples": samples.content,
            "prompt": prompts.digest(self.profile.prompt),
            **{name: getattr(settings, name) for name in ranking},
        }

        def make(folder: Path) -> dict[str, Any]:
            sampled = pairs.read_sampled(samples.folder / "samples.jsonl")
            objective = rewards.objective(settings.reward)
            found, funnel = pairs.build(sampled, settings, objective, self.profile.prompt)
            kept = found[: settings.count], found[settings.count : settings.count + settings.held_out]
            for name, rows in zip(("pairs", "held_out"), kept, strict=True):
                files.write_jsonl(rows, folder / f"{name}.jsonl")
            return {"pairs": len(kept[0]), "held_out": len(kept[1]), "funnel": asdict(funnel)}

        return store.obtain(self.folder, "pairs", spec, make)

    def reward_check(self) -> reward_check.RewardCheck:
        """Return the rewards of the frozen SFT model's samples, drawn by our decoder and through GRPO's trainer."""
        settings, grpo = self.profile.reward_check, self.profile.grpo
        examples = self.prompted(grpo.split, settings.prompts)
        own = {"sft": self.sft().content, **asdict(settings), "split": grpo.split, "reward": grpo.reward}
        spec = self.conditions | own

        def make(folder: Path) -> dict[str, Any]:
            from gecalign.training import sampling

            policy, (reference, _) = self.model("sft"), self.model("sft")
            with tempfile.TemporaryDirectory() as scratch:
                run = self.run(Path(scratch))
                check = sampling.check_rewards(policy, reference, examples, settings, grpo, run)
            reward_check.write(check, folder / "rewards.json")
            return {"agree": check.agree}

        stage = store.obtain(
            self.folder, "reward-check", spec, make, announce=f"{settings.samples} samples a prompt, twice."
        )
        return reward_check.read(stage.folder / "rewards.json")

    # ---- models

    @cached_property
    def _base_identity(self) -> str:
        from gecalign.models import loading

        return loading.identity(self.profile.model)

    def log(self, system: str = "sft") -> pd.DataFrame:
        """Return the training log of a system: a row a logged update, losses in nats a token, BLEU 0-100."""
        import pandas as pd

        return pd.read_csv(self.trained(system).folder / "log.csv")

    def model(self, system: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the model and tokenizer of a system."""
        from gecalign.models import loading

        return loading.load(self.profile.model if system == "base" else self.trained(system).folder / "model")

    def product(self, name: str) -> Stage:
        """Return a product by name: data, samples, pairs, or a trained system.

        Raises:
            ValueError: there is none of that name.
        """
        others = {"data": lambda: self.corpus, "samples": self.samples, "pairs": self.pairs}
        if name not in others and name not in TRAINED:
            raise ValueError(f"unknown product {name!r}. Products: {', '.join([*others, *TRAINED])}.")
        return others[name]() if name in others else self.trained(name)

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
        if system in DECODED:
            decoding = constant.decoding(decoding, self.constant(system))
        examples = self.examples(split)
        evaluation.check_askable(examples, split, decoding, prompt)
        if system not in ("copy", "base") and not allow_other_prompt:
            asked = self.trained("sft" if system == "best-of-n" else DECODED.get(system, system))
            prompts.check_same(asked.record["spec"]["prompt"], prompts.digest(prompt))
        spec = self.conditions | {
            "system": system,
            "model": self.identity(system),
            "split": split,
            "prompt": prompts.digest(prompt),
            "decoding": config.decides(decoding),
        }
        if system == "best-of-n":
            spec |= {"samples": asdict(self.profile.reward_check), "reward": self.profile.grpo.reward}

        def make(folder: Path) -> dict[str, Any]:
            if split == "test" and system != "copy":  # nothing can be chosen by what copying scores
                evaluation.count_test_reading(self.root, system, self.seed)
            return evaluation.write(self._predict(system, examples, decoding, prompt), folder)

        stage = store.obtain(self.folder, f"{system}-{split}", spec, make)
        return evaluation.load(system, split, stage)

    def constant(self, system: str) -> float:
        """Return the constant against copying (nats) that a system of `systems.DECODED` is decoded with."""
        return constant.chosen(lambda how: self.evaluation(DECODED[system], "dev", how), self.profile)

    def identity(self, system: str) -> str:
        """Return what tells whether two systems are the same: the digest of a model, or what outputs come from."""
        if system in DECODED:
            return self.identity(DECODED[system])
        if system in WITHOUT_MODEL:
            return "copy" if system == "copy" else self.identity("sft")
        return self._base_identity if system == "base" else self.trained(system).content

    def _predict(
        self, system: str, examples: Sequence[Example], decoding: config.Decoding, prompt: config.Prompt
    ) -> list[Prediction]:
        if system == "copy":
            return [Prediction(e.id, e.source, e.reference, e.source) for e in examples]
        from gecalign.models.decode import decode

        if system == "best-of-n":
            return self._predict_best(examples, decoding, prompt)
        asked = [prompts.render(prompt, example.source) for example in examples]
        outputs = decode(
            self.model(DECODED.get(system, system)), asked, decoding,
            seed=self.seed, progress=f"decoding {system}", engine=self.profile.engine,
            sources=[prompts.completion(example.source) for example in examples],
        )  # fmt: skip
        return evaluation.predicted(examples, outputs)

    def _predict_best(
        self, examples: Sequence[Example], decoding: config.Decoding, prompt: config.Prompt
    ) -> list[Prediction]:
        """Return SFT's best sample for each example by GRPO's reward; `tokens` counts those of all samples."""
        from gecalign.training import sampling

        check = self.profile.reward_check
        drawing = replace(
            self.profile.pairs,
            samples=check.samples,
            temperature=check.temperature,
            second_temperature=None,
            top_p=check.top_p,
        )
        drawn = sampling.draw(
            self.model("sft"), examples, drawing, replace(self.asking, prompt=prompt, decoding=decoding)
        )
        objective, best = rewards.objective(self.profile.grpo.reward), []
        for sampled in drawn:
            n, texts = len(sampled.samples), [sample.text for sample in sampled.samples]
            chosen = sampled.samples[int(objective(texts, [sampled.reference] * n, [sampled.source] * n).argmax())]
            tokens = sum(sample.tokens for sample in sampled.samples)
            best.append(
                Prediction(sampled.id, sampled.source, sampled.reference, chosen.text, tokens, chosen.truncated)
            )
        return best
