"""What chapters 2 to 6 look at inside a run, beyond its scores: curves, pairs, both sides of a pair, rewards.

Each function asks one `Study` and returns a table, so that a chapter can show its own run and the record
(`gecalign.study.results`) hold the same of every seed. What takes samples or forward passes is a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gecalign.config import Pairs
from gecalign.preferences import pairs, rewards
from gecalign.runtime import store

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gecalign.corpus.examples import Example
    from gecalign.study import Study

# The columns of the training logs that the chapters draw or speak of.
LOGGED = {
    "sft": ("loss", "eval_loss", "eval_bleu"),
    "dpo": ("loss", "eval_loss", "eval_bleu", "rewards/accuracies", "eval_rewards/accuracies", "rewards/margins",
            "eval_rewards/margins", "eval_logps/chosen", "eval_logps/rejected"),
    "grpo": ("eval_bleu", "reward", "reward_std", "frac_reward_zero_std", "kl", "entropy", "completions/mean_length",
             "completions/clipped_ratio", "clip_ratio/region_mean"),
}  # fmt: skip

# How two samples of a prompt may be drawn: at one temperature, or at two.
SAMPLERS: dict[str, dict[str, float]] = {
    "0.5": {"temperature": 0.5},
    "0.7": {"temperature": 0.7},
    "1.0": {"temperature": 1.0},
    "0.7 and 1.2": {"temperature": 0.7, "second_temperature": 1.2},
}
SAMPLED_PROMPTS = 500  # enough for a look: a share of the pairs is known to about 3 points
JUDGES = ("edit", "gleu", "chrf", "exact")
ABOUT = "more errors corrected"  # see `pairs.subjects`


def logs(study: Study) -> pd.DataFrame:
    """Return the logs of SFT, DPO and GRPO: a row a value, columns system, step, measure, value."""
    found = []
    for system, measures in LOGGED.items():
        log = study.log(system)
        known = [measure for measure in measures if measure in log]
        long = log.melt("step", known, "measure").dropna(subset=["value"])
        found.append(long.assign(system=system)[["system", "step", "measure", "value"]])
    return pd.concat(found, ignore_index=True)


def pairs_by_sampler(study: Study) -> pd.DataFrame:
    """Return what becomes of some prompts if two samples each are drawn by each of `SAMPLERS`: a row a sampler.

    Columns as in `_described`.
    """
    prompted = study.prompted(study.profile.pairs.split, SAMPLED_PROMPTS)
    settings = {name: replace(study.profile.pairs, samples=2, **how) for name, how in SAMPLERS.items()}  # type: ignore[arg-type]

    def make(folder: Path) -> dict[str, Any]:
        from gecalign.training import sampling

        rows = []
        for name, how in settings.items():
            drawn = sampling.draw(study.model("sft"), prompted, how, study.asking)
            rows.append({"sampler": name} | _described(study, drawn, how, prompted))
        pd.DataFrame(rows).to_csv(folder / "samplers.csv", index=False)
        return {}

    drawn = {"settings": {name: asdict(how) for name, how in settings.items()}, "prompts": len(prompted)}
    spec = study.conditions | {"sft": study.sft().content} | drawn
    stage = store.obtain(study.folder, "samplers", spec, make, announce="two samples a prompt, four ways.")
    return pd.read_csv(stage.folder / "samplers.csv").set_index("sampler")


def pairs_by_samples(study: Study) -> pd.DataFrame:
    """Return what the first k samples of each prompt of the study's pairs give, a row for each k; see `_described`."""
    settings = study.profile.pairs
    drawn = pairs.read_sampled(study.samples().folder / "samples.jsonl")
    prompted = study.prompted(settings.split, settings.prompts)
    rows = {
        k: _described(study, [replace(p, samples=p.samples[:k]) for p in drawn], settings, prompted)
        for k in range(2, settings.samples + 1)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("samples")


def judges(study: Study) -> pd.DataFrame:
    """Return what other rewards say of the study's pairs: the share that a judge ranks alike, not at all, or reversed.

    A row a judge of `JUDGES`; columns agrees, no opinion, the other way, each 0-1.
    """
    found = pairs.read(study.pairs().folder / "pairs.jsonl")
    rows = {}
    for judge in JUDGES:
        chosen, rejected = (_judged(judge, found, side) for side in ("chosen", "rejected"))
        rows[judge] = {
            "agrees": float(np.mean(chosen > rejected)),
            "no opinion": float(np.mean(chosen == rejected)),
            "the other way": float(np.mean(chosen < rejected)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("judge")


def log_ratios(study: Study) -> pd.DataFrame:
    """Return what DPO did to both sides of the pairs that it was not trained on: a row a pair, nats.

    Columns chosen and rejected: log-probability of the completion and its EOS under DPO minus that under SFT, the
    log-ratios of equation 7 in Rafailov et al. 2023. Of the training pairs where none were held out.
    """
    made = study.pairs()
    found = pairs.read(made.folder / "held_out.jsonl") or pairs.read(made.folder / "pairs.jsonl")

    def make(folder: Path) -> dict[str, Any]:
        (policy, tokenizer), (reference, _) = study.model("dpo"), study.model("sft")
        rows = [
            {
                side: _log_ratio(policy, reference, tokenizer, p.prompt, getattr(p, side))
                for side in ("chosen", "rejected")
            }
            for p in found
        ]
        pd.DataFrame(rows).to_csv(folder / "log_ratios.csv", index=False, float_format="%.6f")
        return {}

    spec = {"dpo": study.dpo().content, "sft": study.sft().content, "pairs": made.content}
    return pd.read_csv(store.obtain(study.folder, "log-ratios", spec, make).folder / "log_ratios.csv")


def log_probability(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str) -> float:
    """Return the log-probability (nats) of a completion and the EOS after it, given the prompt."""
    import torch

    asked = tokenizer(prompt)["input_ids"]
    ids = [*asked, *tokenizer(completion)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        scores = model(torch.tensor([ids], device=model.device)).logits[0].log_softmax(dim=-1)  # (T, V)
    return sum(scores[i - 1, ids[i]].item() for i in range(len(asked), len(ids)))


def rewarded(study: Study) -> pd.DataFrame:
    """Return the rewards of the reward check: a row a prompt, columns greedy, direct and trainer (n samples each)."""
    check = study.reward_check()
    return pd.DataFrame({"greedy": check.greedy, "direct": list(check.direct), "trainer": list(check.trainer)})


def _described(
    study: Study, drawn: Sequence[pairs.Sampled], settings: Pairs, prompted: Sequence[Example]
) -> dict[str, Any]:
    """Return what pairs these samples give.

    prompts, a count for each reason to drop one, pairs; mean margin (reward); the share of the pairs whose chosen text
    corrects more errors (0-1, NaN where errors are not known); of pairs from two temperatures, the share in which the
    cooler sample was chosen, and how many these are.
    """
    found, funnel = pairs.build(drawn, settings, rewards.objective(settings.reward), study.profile.prompt)
    known = all(example.edits is not None for example in prompted)
    about = pairs.subjects(found, prompted)[ABOUT] if known else np.nan
    cooler, mixed = pairs.cooler_chosen(found)
    margins = [p.chosen_reward - p.rejected_reward for p in found]
    return {
        "prompts": funnel.prompts, **funnel.dropped, "pairs": funnel.pairs,
        "margin": float(np.mean(margins)) if found else np.nan, ABOUT: about / max(len(found), 1),
        "cooler chosen": cooler / mixed if mixed else np.nan, "of two temperatures": mixed,
    }  # fmt: skip


def _judged(judge: str, found: Sequence[pairs.PreferencePair], side: str) -> np.ndarray:
    texts = [getattr(p, side).strip() for p in found]
    return rewards.objective(judge)(texts, [p.reference for p in found], [p.source for p in found])


def _log_ratio(policy: Any, reference: Any, tokenizer: Any, prompt: str, completion: str) -> float:
    after, before = (log_probability(model, tokenizer, prompt, completion) for model in (policy, reference))
    return after - before
