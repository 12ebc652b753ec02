"""Profiles: what to run, at several sizes, along one code path.

A `Profile` is a frozen dataclass of frozen dataclasses, one for each concern. Every default of the
project stands in this file and nowhere else. `profile("tiny")` returns one by name, and
`profile.variant(...)` a copy with some values changed:

>>> profile("tiny").variant(sft__steps=100).sft.steps
100

Units: rows and steps are counts, lengths are tokens, learning rates are per update. The seed is not
part of a profile: `gecalign.study.Study` takes it, so that one profile can be run with many.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import get_args, get_type_hints

# The revision of the data set that the project was written against (hub commit).
COEDIT_REVISION = "e9a255c33ef910bc33a9d2b522653fa87521583e"


@dataclass(frozen=True, slots=True)
class Data:
    """Where the sentences come from, and how many of them."""

    source: str = "tinygec"  # "tinygec", the name of a data set on the hub, or a local file or folder
    revision: str | None = None  # the hub commit; required for a hub name
    task: str | None = None  # keep the rows whose `task` column says this (CoEdIT mixes several tasks)
    train_rows: int | None = None  # of SFT's demonstrations; None: all that the other splits leave
    preference_rows: int = 0  # prompts for pairs and rewards, which SFT has not seen
    dev_rows: int = 500
    test_rows: int = 2000
    seed: int = 0  # of the generated corpus and the hasty annotator, not of the study
    miss: float = 0.0  # the share of errors that the hasty annotator leaves in demonstrations; 0: careful
    max_chars: int = 1000  # and bytes in UTF-8; longer sources or references are dropped, and counted


@dataclass(frozen=True, slots=True)
class Model:
    """The pretrained model that everything starts from."""

    name: str = "tiny-base"  # "tiny-base" (shipped), the name of a model on the hub, or a local folder
    revision: str | None = None  # the hub commit; required for a hub name


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text around a source sentence. It ends where the model has to go on writing."""

    # No space at the end: byte-level tokenizers attach a space to the word that follows it, so a prompt
    # that ends in one would end inside a token that the completion needs.
    template: str = "Fix grammar: {source}\nCorrected:"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How hypotheses are drawn from a model; `temperature` 0 is greedy decoding."""

    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1  # for each prompt
    max_new_tokens: int = 64  # an output that reaches this limit is marked as truncated
    batch_tokens: int = 32_768  # prompt plus new tokens in one batch: bounds memory; greedy results are the same


@dataclass(frozen=True, slots=True)
class SFT:
    """Supervised fine-tuning on the demonstrations."""

    steps: int = 600  # updates
    batch_size: int = 64  # rows an update
    learning_rate: float = 2e-3  # higher learns faster until it diverges; a larger model wants less
    warmup_steps: int = 20
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 160  # prompt plus completion; longer rows are dropped before training, and counted
    evaluations: int = 8  # dev loss and dev BLEU are measured, and a checkpoint considered, this many times
    completion_only_loss: bool = True  # False trains on the prompt's tokens too
    micro_batch_size: int | None = None  # rows in memory at once; None: as many as fit (`gecalign.memory`)


@dataclass(frozen=True, slots=True)
class Continued:
    """SFT trained on from its own result, for as many updates as GRPO makes (DPO makes no more): the control of both.

    Everything but these is as in `SFT`.
    """

    learning_rate: float = 5e-4
    evaluations: int = 4


@dataclass(frozen=True, slots=True)
class Pairs:
    """Samples of the SFT model, and the preference pairs made of them."""

    split: str = "preference"  # where the prompts come from; SFT has seen "train", and gives few pairs there
    prompts: int | None = 2000  # how many of them; None: all
    samples: int = 4  # for each prompt; as published 2
    temperature: float = 0.7  # warmer samples give more pairs, but about slips of the sampler (chapter 3)
    second_temperature: float | None = None  # of half the samples; None: one for all, which confounds nothing
    top_p: float = 1.0
    reward: str = "bleu"  # what ranks them: see `gecalign.rewards`
    selection: str = "best-worst"  # or "random", or "reference" (as chosen)
    minimum_margin: float = 0.0  # pairs whose rewards differ by less are dropped
    count: int = 825  # at the most; as published
    held_out: int = 100  # beyond these, to see whether the preference carries over to pairs not trained on


@dataclass(frozen=True, slots=True)
class DPO:
    """Direct preference optimization on the pairs, from the SFT model."""

    epochs: int = 3  # passes over the pairs
    batch_size: int = 32  # pairs an update
    learning_rate: float = (
        1e-4  # a twentieth of SFT's: 3e-4 gains as much in the first epoch, then destroys the tiny model
    )
    beta: float = 0.1  # how dear it is to leave the reference model; typically 0.01-0.5, lower strays further
    warmup_steps: int = 5
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    evaluations: int = 4
    micro_batch_size: int | None = None  # pairs in memory at once; None: as many as fit


@dataclass(frozen=True, slots=True)
class GRPO:
    """Group relative policy optimization, from the SFT model."""

    split: str = "preference"  # where the prompts come from
    steps: int = 80  # updates
    group_size: int = 8  # completions a prompt, c
    batch_size: int = 64  # completions an update; with half as many the tiny model gains nothing
    updates_per_generation: int = 1  # above 1 the later ones learn from samples of an older policy
    learning_rate: float = 3e-4  # high for a policy gradient, as suits a small model; 1e-3 destroys it
    warmup_steps: int = 5
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    temperature: float = 0.7  # of the samples, as for pairs
    top_p: float = 1.0
    reward: str = "bleu"  # see `gecalign.rewards`
    multi_objective: str = "sum_then_normalize"  # or "normalize_then_sum": each reward within its group first
    loss: str = "grpo"  # or "dr_grpo", "dapo": how token losses are averaged
    scale_rewards: str = "group"  # advantages divided by the deviation of the "group", the "batch", or "none"
    beta: float = 0.0  # weight of the KL divergence from the reference model in the loss
    epsilon: float = 0.2  # the ratio of new to old probability is clipped to 1 - epsilon .. 1 + epsilon
    evaluations: int = 4  # checkpoints, evenly spaced
    micro_batch_size: int | None = None  # completions in memory at once; None: as many as fit


@dataclass(frozen=True, slots=True)
class RewardCheck:
    """What is sampled from the frozen policy to see whether rewards differ within groups; as published."""

    prompts: int = 120
    samples: int = 16  # for each prompt
    temperature: float = 0.9
    top_p: float = 0.9


@dataclass(frozen=True, slots=True)
class LoRA:
    """Low-rank adapters in place of all weights, merged into them when a training ends (Hu et al. 2021).

    https://arxiv.org/abs/2106.09685
    """

    rank: int = 0  # 0: no adapters, all weights are trained
    alpha: int = 32  # the adapters' product is scaled by alpha / rank
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What carries a run out. It decides speed, memory and where one can watch, not what is computed.

    So it is in no digest: a product made by one engine is loaded under another. (Random draws differ between engines.)
    """

    # Who writes the samples of pairs and GRPO; or "vllm-colocate", "vllm-server". With vLLM TRL weighs GRPO's tokens by
    # how much likelier the policy is to write them than vLLM was, up to a limit: it corrects for the latter's rounding.
    sampler: str = "transformers"
    vllm_url: str = "http://localhost:8000"  # of the server, where the sampler is "vllm-server"
    vllm_memory: float = 0.3  # the share of a GPU that "vllm-colocate" takes; the rest is for training
    precision: str = "auto"  # of the arithmetic, weights are 32-bit: "bf16", "fp16", "fp32"; auto: by the device
    gradient_checkpointing: bool = False  # activations computed twice instead of kept: less memory, a third slower
    memory_gb: float | None = None  # to plan micro-batches for; None: what is free when a training starts
    report_to: str = "none"  # or "tensorboard", "wandb", "trackio", or several with commas between them


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that decides a run, but for the seed."""

    name: str
    about: str = ""
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    prompt: Prompt = field(default_factory=Prompt)
    decoding: Decoding = field(default_factory=Decoding)
    sft: SFT = field(default_factory=SFT)
    continued: Continued = field(default_factory=Continued)
    pairs: Pairs = field(default_factory=Pairs)
    dpo: DPO = field(default_factory=DPO)
    reward_check: RewardCheck = field(default_factory=RewardCheck)
    grpo: GRPO = field(default_factory=GRPO)
    lora: LoRA = field(default_factory=LoRA)
    engine: Engine = field(default_factory=Engine)
    mismatched_prompt: Prompt | None = None  # trained systems are scored with this one, too, as published

    def variant(self, name: str | None = None, **changes: object) -> Profile:
        """Return a copy with values changed, addressed as `part__field` (`sft__steps=100`).

        Raises:
            ValueError: no such part or field, or a value of another type; the message names those that exist.
        """
        parts: dict[str, dict[str, object]] = {}
        for address, value in changes.items():
            part, _, name_of_field = address.partition("__")
            parts.setdefault(part, {})[name_of_field] = value
        replaced = {part: _replace(self, part, fields) for part, fields in parts.items()}
        return dataclasses.replace(self, name=name or self.name, **replaced)  # type: ignore[arg-type]


def _replace(owner: Profile, part: str, fields: dict[str, object]) -> object:
    parts = [f.name for f in dataclasses.fields(owner) if dataclasses.is_dataclass(getattr(owner, f.name))]
    if part not in parts:
        raise ValueError(f"a profile has no part {part!r}. Its parts: {', '.join(parts)}. Write part__field=value.")
    old = getattr(owner, part)
    known = [f.name for f in dataclasses.fields(old)]
    if unknown := [name for name in fields if name not in known]:
        raise ValueError(f"{part!r} has no field {unknown[0]!r}. Its fields: {', '.join(known)}.")
    for name, value in fields.items():
        _check_type(f"{part}__{name}", value, get_type_hints(type(old))[name])
    return dataclasses.replace(old, **fields)  # type: ignore[arg-type]


def _check_type(address: str, value: object, expected: type) -> None:
    # bool is an int to Python; an int is a float to everybody
    takes_float = expected is float or float in get_args(expected)
    accepted = isinstance(value, expected) or (takes_float and isinstance(value, int))
    if not accepted or (isinstance(value, bool) and expected is not bool):
        wanted = getattr(expected, "__name__", str(expected))
        raise ValueError(f"{address} must be of type {wanted}, but came as {value!r} ({type(value).__name__}).")


SMOKE = Profile(
    name="smoke",
    about="every chapter in seconds, for tests; its numbers mean nothing",
    data=Data(train_rows=256, preference_rows=64, dev_rows=32, test_rows=64, miss=0.6),
    sft=SFT(steps=8, batch_size=16, evaluations=4, warmup_steps=2),
    continued=Continued(evaluations=2),
    pairs=Pairs(samples=4, temperature=1.0, count=24, held_out=8),
    dpo=DPO(epochs=2, batch_size=8, evaluations=2, warmup_steps=1),
    reward_check=RewardCheck(prompts=8),
    grpo=GRPO(steps=4, group_size=4, batch_size=16, evaluations=2, warmup_steps=1),
)

TINY = Profile(
    name="tiny",
    about="the default: a Llama of 1 M parameters on generated sentences; minutes on two CPU cores",
    # An annotator who overlooks more errors than she mends: demonstrations are worse than judgements, as in
    # practice, and there is something left to learn after SFT (chapter 6 has the map of where there is not).
    data=Data(train_rows=20_000, preference_rows=4000, miss=0.6),
)

SMOLLM_135M = Profile(
    name="smollm-135m",
    about="the study itself: SmolLM-135M on CoEdIT's GEC rows; one GPU with 16 GB",
    data=Data(
        "grammarly/coedit",
        COEDIT_REVISION,
        task="gec",  # 19,823 of its 69,071 rows; the others ask for paraphrases, simpler or more formal text
        # What is left, about 13,000 rows, is SFT's. As on `tiny`, preferences ask about prompts that it has not seen.
        preference_rows=4000,
        dev_rows=500,  # a checkpoint's BLEU is known to 0.9 here: enough to choose among a dozen, quick to decode
        test_rows=2000,  # shows differences of about 0.5 BLEU; the 485 validation rows, a second test set, only 1
    ),
    model=Model("HuggingFaceTB/SmolLM-135M", "1d461723eec654e65efdc40cf49301c89c0c92f4"),
    decoding=Decoding(
        max_new_tokens=256,  # 4 % of the references are longer than 128 tokens, next to none than 256
        batch_tokens=65_536,  # 46 kB of keys and values a token in 32 bits: 3 GB
    ),
    sft=SFT(
        steps=1500,  # 3.6 passes over the demonstrations
        batch_size=32,
        learning_rate=1e-4,  # a twentieth of the tiny model's; full fine-tuning at this size usually takes 1e-5 to 3e-4
        warmup_steps=50,  # a thirtieth of the updates, as on `tiny`
        max_length=512,  # prompt and completion of all but a handful of rows
    ),
    continued=Continued(learning_rate=2e-5),  # as far below SFT's as on `tiny`, rounded down
    dpo=DPO(
        learning_rate=5e-6,  # usual: 5e-7 to 5e-6, the upper end for small models
        warmup_steps=8,  # a tenth of 78 updates
    ),
    grpo=GRPO(
        steps=500,  # 4,000 prompts with groups of 8, each once; 32,000 samples
        learning_rate=1e-5,  # a tenth of SFT's; usual are 1e-6 for billions of parameters, more for fewer
        warmup_steps=20,
    ),
)

SMOLLM_360M = dataclasses.replace(
    SMOLLM_135M.variant(
        "smollm-360m",
        model__name="HuggingFaceTB/SmolLM-360M", model__revision="59f7ef243ee09a72cbc14cb054393a3e3b771d41",
        decoding__batch_tokens=32_768,  # 82 kB of keys and values a token in 32 bits
        # All rates a little over half of the smaller model's: what a model can take falls with its width (960 to 576).
        sft__learning_rate=6e-5, continued__learning_rate=1.2e-5, dpo__learning_rate=3e-6, grpo__learning_rate=6e-6,
    ),
    about="do the findings hold in a model 2.7 times as large? One GPU with 24 GB",
)  # fmt: skip

LLAMA_1B = dataclasses.replace(
    SMOLLM_135M.variant(
        "llama-3.2-1b",
        # Gated: whoever has accepted its licence can load it after `hf auth login`.
        model__name="meta-llama/Llama-3.2-1B", model__revision="4e20de362430cd3b72f300e6b0f18e50e7166e08",
        decoding__batch_tokens=32_768,  # 66 kB of keys and values a token in 32 bits
        # Adapters: gradients and Adam's moments of 1.2 billion weights would take 15 GB, those of 11 million take 0.1.
        lora__rank=16, lora__alpha=32,
        # Adapters want about ten times the rate of full fine-tuning, which would be 1e-5 for SFT at this size.
        sft__learning_rate=1e-4, continued__learning_rate=2e-5, dpo__learning_rate=5e-6, grpo__learning_rate=1e-5,
    ),
    about="... and in one nine times as large, by low-rank adapters? One GPU with 24 GB, or several",
)  # fmt: skip

AS_PUBLISHED = dataclasses.replace(
    SMOLLM_135M.variant(
        "as-published",
        data__preference_rows=0,  # pairs and rewards ask about SFT's own training rows
        prompt__template="Fix grammatically: {source} Corrected:",
        decoding__max_new_tokens=128,  # 4 % of the references are longer
        sft__steps=4000,  # its best checkpoint was at 3200
        sft__completion_only_loss=False,  # a `text` column switched it off
        pairs__split="train", pairs__prompts=1000, pairs__samples=2,
        pairs__temperature=0.7, pairs__second_temperature=1.2,  # which confounds preference with temperature
        pairs__held_out=0,
        grpo__split="train", grpo__steps=1000, grpo__temperature=0.9, grpo__top_p=0.9,
        grpo__group_size=4, grpo__batch_size=4,  # one prompt an update; with c = 8 and 16 likewise (`gecalign sweep`)
    ),
    about="the published study with its own settings; what it does not report is as in smollm-135m",
    mismatched_prompt=Prompt("Fix grammar: {source}"),  # the final table of the study was made with another prompt
)  # fmt: skip

PROFILES = {p.name: p for p in (SMOKE, TINY, SMOLLM_135M, SMOLLM_360M, LLAMA_1B, AS_PUBLISHED)}


def profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in PROFILES:
        close = get_close_matches(name, PROFILES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown profile {name!r}.{hint} Profiles: {', '.join(PROFILES)}.")
    return PROFILES[name]
