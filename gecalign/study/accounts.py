"""What the trainings of one run report, in tables: every checkpoint, what each system cost, single facts.

The record (`gecalign.study.results`) holds them of every seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from gecalign.preferences import pairs
from gecalign.runtime import store
from gecalign.study.trained import two_temperatures
from gecalign.systems import RECORDED, UNTRAINED

if TYPE_CHECKING:
    from gecalign.study import Study


def checkpoints(study: Study) -> pd.DataFrame:
    """Return dev BLEU of every checkpoint of every training of a study, a row a checkpoint; `chosen` marks the best."""
    found = []
    for system in trained():
        log = study.log(system).dropna(subset=["eval_bleu"])
        chosen = log["step"] == study.trained(system).facts["chosen_step"]
        columns = {"system": system, "step": log["step"].astype(int), "BLEU": log["eval_bleu"], "chosen": chosen}
        found.append(pd.DataFrame(columns))
    return pd.concat(found)


def facts(study: Study) -> pd.DataFrame:
    """Return single numbers of a run: a row each, columns name, value."""
    made, sft = study.pairs(), study.sft()
    funnel = pairs.Funnel(**made.facts["funnel"])
    found = {
        "prompts": funnel.prompts, **funnel.dropped, "pairs": funnel.pairs, "samples": funnel.samples,
        "truncated samples": funnel.truncated_samples, "pairs trained on": made.facts["pairs"],
        "chosen step": sft.facts["chosen_step"], "lowest loss step": sft.facts["lowest_loss_step"],
    }  # fmt: skip
    return pd.DataFrame(found.items(), columns=["name", "value"])


def budget(study: Study) -> pd.DataFrame:
    """Return what each system of a study cost beyond the SFT model that it starts from, SFT itself from the base.

    prompts: rows shown, or prompts that samples were drawn for. Tokens include EOS; trained tokens are those of prompts
    and completions that a loss was computed on, both texts of a pair. Seconds are of training and sampling.
    """
    return pd.DataFrame([cost(study, system) for system in trained()])


def cost(study: Study, system: str) -> dict[str, Any]:
    """Return the row of `budget` of one system."""
    stage = study.trained(system)
    facts = stage.facts
    row = {"system": system, "prompts": 0, "sampled tokens": 0,
               "trained tokens": facts["tokens"], "updates": facts["updates"],
               "seconds": stage.record["seconds"]}  # fmt: skip
    if samples := _samples_of(study, system):
        row |= {"prompts": samples.record["spec"]["prompts"] or len(study.prompted(study.profile.pairs.split)),
                    "sampled tokens": samples.facts["tokens"],
                    "seconds": row["seconds"] + samples.record["seconds"]}  # fmt: skip
    elif "prompts_in_all" in facts:
        row |= {"prompts": facts["prompts_in_all"], "sampled tokens": facts["sampled_tokens"]}
    else:
        row["prompts"] = facts["updates"] * stage.record["spec"]["settings"]["batch_size"]
    return row


def _samples_of(study: Study, system: str) -> store.Stage | None:
    if system == "dpo-two-temperatures":
        return two_temperatures(study).samples()
    return study.samples() if system in ("dpo", "dpo-reference", "raft", "random-of-k") else None


def trained() -> list[str]:
    """Return the names of the systems that are trained."""
    return [system for system in RECORDED if system not in UNTRAINED]
