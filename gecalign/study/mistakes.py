"""Mistakes of asking and training, made on purpose, so that chapter 9 can measure what they do; the record has them.

Those that change a training are stages: a model is trained wrongly, and what it writes on dev is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, prompts
from gecalign.preferences import pairs
from gecalign.runtime import store
from gecalign.study import evaluation
from gecalign.study.evaluation import SystemEvaluation
from gecalign.training.setup import Asking, Run

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel

    from gecalign.models.loading import Loaded
    from gecalign.study import Study


LONGEST = 300  # characters that are kept of an output that does not end
OTHER_PROMPT = config.Prompt("Fix grammatically: {source} Corrected:")  # one word and one line break are other


def mismatched(study: Study) -> SystemEvaluation:
    """Return what SFT writes on dev if it is asked with another prompt than it was trained with."""
    return study.evaluation("sft", "dev", prompt=OTHER_PROMPT, allow_other_prompt=True)


def briefly_trained(study: Study, eos: bool) -> SystemEvaluation:
    """Return what a model writes on dev after a short SFT from the base, with or without an end to its completions.

    The mistake is a column: TRL takes `text` for the whole example and puts the EOS there, silently.
    """
    settings = replace(study.profile.sft, steps=study.profile.grpo.steps, evaluations=1)

    def trainer(start: Loaded, run: Run) -> Any:
        from gecalign.training import sft
        from gecalign.training.rows import demonstrations

        rows = demonstrations(study.examples("train"), study.profile.prompt)
        if not eos:
            rows = [row | {"text": row["prompt"] + row["completion"]} for row in rows]
        return sft.trainer(start, rows, settings, run, evaluate_early=False)

    return _trained_oddly(study, f"{'with' if eos else 'no'}-eos", "base", trainer, asdict(settings))


def in_bf16(study: Study) -> SystemEvaluation:
    """Return what DPO writes on dev if its weights are kept in bf16: rounded to it after every update.

    The optimizer's states and all arithmetic stay in fp32; in pure bf16 training they are rounded as well. The fact
    "unmoved" is the share of weights that did not leave their place at all.
    """

    def trainer(start: Loaded, run: Run) -> Any:
        from gecalign.training import dpo

        rows = pairs.read(study.pairs().folder / "pairs.jsonl")
        made = dpo.trainer(start, study.model("sft")[0], rows, [], study.profile.dpo, run)
        made.add_callback(_rounding())
        return made

    settings = asdict(study.profile.dpo) | {"pairs": study.pairs().content}
    return _trained_oddly(study, "bf16", "sft", trainer, settings)


# Mistakes that the record holds of every seed: what is done wrong, and what the same is when done right.
MISTAKES: dict[str, tuple[Callable[[Study], SystemEvaluation], Callable[[Study], SystemEvaluation]]] = {
    "another prompt": (mismatched, lambda study: study.evaluation("sft", "dev")),
    "no EOS": (lambda study: briefly_trained(study, eos=False), lambda study: briefly_trained(study, eos=True)),
    "bf16 weights": (in_bf16, lambda study: study.evaluation("dpo", "dev")),
}


def mistakes(study: Study) -> pd.DataFrame:
    """Return what each of `MISTAKES` scores on dev in a run, and what the right way does: two rows a mistake.

    Columns: mistake, made (whether it is), BLEU, SFT's BLEU, cut off (0-1), length ratio, the longest output and its
    source, and the share of SFT's weights that did not move where both start from SFT.
    """
    import pandas as pd

    sft = study.evaluation("sft", "dev").scores.row()["BLEU"]
    rows = []
    for mistake, ways in MISTAKES.items():
        for made, evaluated in zip((True, False), (way(study) for way in ways), strict=True):
            longest = max(evaluated.predictions, key=lambda p: len(p.hypothesis))
            rows.append(
                {"mistake": mistake, "made": made, "BLEU": evaluated.scores.row()["BLEU"], "SFT": sft,
                 "cut off": evaluated.scores.rates.truncated, "length ratio": evaluated.scores.rates.length_ratio,
                 "source": longest.source, "longest": longest.hypothesis[:LONGEST]}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    still = {True: in_bf16(study).stage.facts["unmoved"], False: unmoved(study, "dpo")}
    table["unmoved"] = table["made"].map(still).where(table["mistake"] == "bf16 weights")
    return table


def unmoved(study: Study, system: str) -> float:
    """Return the share of SFT's weights that a system trained from it has left exactly where they were, 0-1."""
    return _unmoved(study.model("sft")[0], study.model(system)[0])


def _trained_oddly(
    study: Study, name: str, start: str, build: Callable, settings: Mapping[str, Any]
) -> SystemEvaluation:
    dev = study.examples("dev")

    def make(folder: Path) -> dict[str, Any]:
        from gecalign.models.decode import decode

        model, tokenizer = study.model(start)
        with tempfile.TemporaryDirectory() as scratch:
            trainer = build((model, tokenizer), Run(Path(scratch), Asking(seed=study.seed)))
            trainer.dev_scores = lambda _: {"bleu": 0.0}
            trainer.train()
        asked = [prompts.render(study.profile.prompt, example.source) for example in dev]
        written = evaluation.predicted(dev, decode((model, tokenizer), asked, study.profile.decoding))
        return evaluation.write(written, folder) | {"unmoved": _unmoved(study.model(start)[0], model)}

    spec = study.conditions | {"start": study.identity(start), "settings": dict(settings)}
    stage = store.obtain(study.folder, f"pitfall-{name}", spec, make)
    return evaluation.load(name, "dev", stage)


def _rounding() -> Any:
    import torch
    from transformers import TrainerCallback

    class RoundWeights(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            with torch.no_grad():
                for weight in model.parameters():
                    weight.copy_(weight.to(torch.bfloat16))

    return RoundWeights()


def _unmoved(before: PreTrainedModel, after: PreTrainedModel) -> float:
    import torch

    old = {name: weight.to(torch.bfloat16) for name, weight in before.named_parameters()}
    same = sum(int((weight.to(torch.bfloat16) == old[name]).sum()) for name, weight in after.named_parameters())
    return same / sum(weight.numel() for weight in old.values())
