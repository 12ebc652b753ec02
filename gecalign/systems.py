"""The systems that are compared: what readers call them, what they are, in the order of every table and figure.

How each is made stands in `gecalign.study.trained`; what it costs, in `gecalign.study.accounts.budget`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class System:
    """A system: its label in tables and figures, what it is in a sentence, and where it belongs.

    Those of the "comparison" are in the tables of chapter 7; a "mistake" of chapter 9 is trained over the same seeds;
    what is "asked for" is trained when somebody does so, and is not in the record.
    """

    label: str
    about: str
    place: Literal["comparison", "mistake", "asked for"] = "comparison"


SYSTEMS = {
    "copy": System("copy the input", "does nothing"),
    "base": System("base model", "the pretrained model, asked with the prompt"),
    "sft": System("SFT", "the base model trained on the demonstrations; all below start from it"),
    "sft-continued": System("SFT continued", "trained on, on the same demonstrations, for as many updates as GRPO"),
    "sft-fresh": System("SFT on fresh prompts", "trained on demonstrations of the prompts that preferences ask about"),
    "random-of-k": System("random of k", "SFT on a random one of SFT's own k samples"),
    "raft": System("RAFT (best of k)", "SFT on the best of SFT's own k samples (rejection sampling)"),
    "dpo": System("DPO", "preference pairs of SFT's own samples, ranked by the reward"),
    "dpo-reference": System("DPO, reference chosen", "as DPO, but the chosen text of each pair is the reference"),
    "grpo-4": System("GRPO, c = 4", "groups of 4, as many samples in all"),
    "grpo": System("GRPO", "groups as in the profile (8 on tiny)"),
    "grpo-16": System("GRPO, c = 16", "groups of 16, as many samples in all"),
    "grpo-shuffled": System("GRPO, shuffled rewards", "as GRPO, but rewards are dealt out at random within each group"),
    "sft-careful": System("SFT on careful references", "trained on the references that preferences are judged by"),
    "best-of-n": System("best of n (oracle)", "SFT's best sample, chosen by the reward, which knows the reference"),
    "sft-unmasked": System("SFT, loss on the prompt too", "as SFT, but the loss is not masked", "mistake"),
    "dpo-two-temperatures": System("DPO, two temperatures", "as DPO, half of the samples drawn much warmer", "mistake"),
    "sft-constant": System("SFT, constant", "SFT decoded with a constant against copying, chosen on dev", "asked for"),
    "dpo-constant": System("DPO, constant", "DPO decoded with a constant against copying, chosen on dev", "asked for"),
    "grpo-constant": System(
        "GRPO, constant", "GRPO decoded with a constant against copying, chosen on dev", "asked for"
    ),
    "rloo": System("RLOO", "groups as GRPO; the baseline of a sample is the mean reward of the others", "asked for"),
}

LABELS = {name: system.label for name, system in SYSTEMS.items()}
COMPARED, MISTAKES, ASKED_FOR = (
    tuple(name for name, system in SYSTEMS.items() if system.place == place)
    for place in ("comparison", "mistake", "asked for")
)
RECORDED = tuple(name for name in SYSTEMS if name not in ASKED_FOR)  # what `gecalign study` makes with every seed

CONTROL = "sft-continued"  # what a method has to beat: as many updates, and no preferences
WITHOUT_MODEL = ("copy", "best-of-n")  # outputs without weights of their own
# another system, decoded otherwise (`gecalign.study.constant`)
DECODED = {"sft-constant": "sft", "dpo-constant": "dpo", "grpo-constant": "grpo"}
UNTRAINED = ("copy", "base", "best-of-n", *DECODED)
