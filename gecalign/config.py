"""Profiles: what to run, at several sizes, along one code path.

A `Profile` is a frozen dataclass of frozen dataclasses, one for each concern. Every default of the
project stands in this file and nowhere else. `profile("tiny")` returns one by name, and
`profile.variant(...)` a copy with some values changed:

>>> profile("tiny").variant(sft__steps=100).sft.steps
100

Units: rows and steps are counts, lengths are tokens, learning rates are per update. The seed is not
part of a profile: `gecalign.study.stages.Study` takes it, so that one profile can be run with many.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import reduce
from operator import or_
from typing import Annotated, Any, SupportsIndex, get_args, get_origin, get_type_hints

from gecalign import ranges
from gecalign.ranges import Choice, Limits, Range, Text, above, share, whole

# The revision of the data set that the project was written against (hub commit).
COEDIT_REVISION = "e9a255c33ef910bc33a9d2b522653fa87521583e"

# What several settings may be; what is one's alone stands beside it.
Seed = Annotated[int, Range(0, 2**32 - 1, "numpy takes no other seed")]
MOST_SEEDS = 10_000  # beyond that it is a slip of the keyboard
Updates = Annotated[int, whole(1, "training makes an update")]
Evaluations = Annotated[int, whole(1, "the checkpoint is chosen by what it scores on dev")]
MicroBatch = Annotated[int | None, whole(1, "something is in memory at once")]
# how high is too high, training shows
Rate = Annotated[float, above(0, "at 0 nothing is learnt, and below 0 the reverse")]
Warmup = Annotated[int, whole(0, "it counts updates")]
Decay = Annotated[
    float, Range(0, 10, "an update takes it, times the rate, off every weight; below 0 weights would grow")
]
# less, and AdamW, which divides gradients by their size, takes them for nothing
Clip = Annotated[float, Range(1e-3, why="gradients are scaled down to this norm; 0 leaves them as they are", beside=0)]
# colder, logits divided by it leave the range of floats, and all samples are the same anyway
Warm = Annotated[float, Range(0.01, 100, "samples of a prompt must differ, and be more than noise")]
OrGreedy = Annotated[float, Range(0.01, 100, "0 is greedy decoding, and colder than 0.01 is nothing else", beside=0)]
TopP = Annotated[
    float, Range(0, 1, "tokens are drawn that have this share of the probability between them", low_open=True)
]
Asked = Annotated[str, Choice(("preference", "train"), "dev and test are for measuring")]
Commit = Annotated[str | None, Text("a commit of the hub")]
Reward = Annotated[str, Text("something ranks the samples; see `gecalign.preferences.rewards`")]
SELECTIONS = ("best-worst", "random", "reference")
SAMPLERS = ("transformers", "vllm-colocate", "vllm-server")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
YARDSTICKS = ("bleu", "gleu")
TRACKERS = ("none", "tensorboard", "wandb", "trackio")


@dataclass(frozen=True, slots=True)
class Data:
    """Where the sentences come from, and how many of them."""

    # "tinygec"; "jfleg-c4", once fetched; the name of a data set on the hub; or a local file or folder
    source: Annotated[str, Text("sentences come from somewhere")] = "tinygec"
    revision: Commit = None  # the hub commit; required for a hub name
    # keep the rows whose `task` column says this (CoEdIT mixes several tasks)
    task: Annotated[str | None, Text("it is compared with the column `task`")] = None
    # of SFT's demonstrations; None: all that the other splits leave
    train_rows: Annotated[int | None, whole(1, "training needs a demonstration")] = None
    # prompts for pairs and rewards, which SFT has not seen
    preference_rows: Annotated[int, whole(0, "it counts rows")] = 0
    dev_rows: Annotated[int, whole(1, "checkpoints are chosen by what they score on dev")] = 500
    test_rows: Annotated[int, whole(1, "systems are compared on test")] = 2000
    seed: Seed = 0  # of the generated corpus and the hasty annotator, not of the study
    # the share of errors that the hasty annotator leaves in demonstrations; 0: careful
    miss: Annotated[float, share("a share of errors")] = 0.0
    # and bytes in UTF-8; longer sources or references are dropped, and counted
    max_chars: Annotated[int, whole(1, "no sentence is shorter than a character")] = 1000


@dataclass(frozen=True, slots=True)
class Model:
    """The pretrained model that everything starts from."""

    # "tiny-base" (shipped); "smollm2", once fetched; a name on the hub; a local folder, or a GGUF file
    name: Annotated[str, Text("training starts from some model")] = "tiny-base"
    revision: Commit = None  # the hub commit; required for a hub name


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text around a source sentence. It ends where the model has to go on writing."""

    # No space at the end: byte-level tokenizers attach a space to the word that follows it, so a prompt
    # that ends in one would end inside a token that the completion needs.
    template: Annotated[str, Text("the sentence stands in it, as {source}")] = "Fix grammar: {source}\nCorrected:"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How hypotheses are drawn from a model; `temperature` 0 is greedy decoding."""

    temperature: OrGreedy = 0.0
    top_p: TopP = 1.0
    samples: Annotated[int, whole(1, "a prompt is answered at least once")] = 1  # for each prompt
    # an output that reaches this limit is marked as truncated
    max_new_tokens: Annotated[int, whole(1, "an output has a token, if only the one that ends it")] = 64
    # nats taken off the source's next token at each step of greedy decoding (`gecalign.models.copying`)
    against_copying: Annotated[float, Range(-50, 50, "far above that a source is never copied")] = 0.0
    # prompt plus new tokens in one batch: bounds memory; greedy results are the same
    batch_tokens: Annotated[int, whole(1, "a batch holds a token")] = 32_768


@dataclass(frozen=True, slots=True)
class SFT:
    """Supervised fine-tuning on the demonstrations."""

    steps: Updates = 600  # updates
    batch_size: Annotated[int, whole(1, "an update learns from a row")] = 64  # rows an update
    learning_rate: Rate = 2e-3  # higher learns faster until it diverges; a larger model wants less
    warmup_steps: Warmup = 20
    weight_decay: Decay = 0.0
    max_grad_norm: Clip = 1.0
    # prompt plus completion; longer rows are dropped before training, and counted
    max_length: Annotated[int, whole(2, "a row has a prompt and a completion")] = 160
    # dev loss and dev BLEU are measured, and a checkpoint considered, this many times
    evaluations: Evaluations = 8
    completion_only_loss: bool = True  # False trains on the prompt's tokens too
    # rows in memory at once; None: as many as fit (`gecalign.models.memory`)
    micro_batch_size: MicroBatch = None


@dataclass(frozen=True, slots=True)
class Continued:
    """SFT trained on from its own result, for as many updates as GRPO makes (DPO makes no more): the control of both.

    Everything but these is as in `SFT`.
    """

    learning_rate: Rate = 5e-4
    evaluations: Evaluations = 4


@dataclass(frozen=True, slots=True)
class Pairs:
    """Samples of the SFT model, and the preference pairs made of them."""

    # where the prompts come from; SFT has seen "train", and gives few pairs there
    split: Asked = "preference"
    prompts: Annotated[int | None, whole(1, "pairs need a prompt")] = 2000  # how many of them; None: all
    samples: Annotated[int, whole(1, "pairs are made of samples")] = 4  # for each prompt; as published 2
    # warmer samples give more pairs, but about slips of the sampler (chapter 3)
    temperature: OrGreedy = 0.7
    # of half the samples; None: one for all, which confounds nothing
    second_temperature: OrGreedy | None = None
    top_p: TopP = 1.0
    reward: Reward = "bleu"  # what ranks them: see `gecalign.preferences.rewards`
    # or "random", or "reference" (as chosen)
    selection: Annotated[str, Choice(SELECTIONS, "it says which two samples of a prompt are compared")] = "best-worst"
    # pairs whose rewards differ by less are dropped
    minimum_margin: Annotated[float, Range(0, 1, "rewards lie between 0 and 1, and so do margins", high_open=True)] = (
        0.0
    )
    count: Annotated[int, whole(1, "DPO learns from pairs")] = 825  # at the most; as published
    # beyond these, to see whether the preference carries over to pairs not trained on
    held_out: Annotated[int, whole(0, "it counts pairs")] = 100


@dataclass(frozen=True, slots=True)
class DPO:
    """Direct preference optimization on the pairs, from the SFT model."""

    epochs: Annotated[int, whole(1, "training passes over the pairs")] = 3  # passes over the pairs
    batch_size: Annotated[int, whole(1, "an update learns from a pair")] = 32  # pairs an update
    # a twentieth of SFT's: 3e-4 gains as much in the first epoch, then destroys the tiny model
    learning_rate: Rate = 1e-4
    # how dear it is to leave the reference model; typically 0.01-0.5, lower strays further
    beta: Annotated[float, Range(1e-4, 100, "at 0 the loss has no gradient, below 0 it prefers what was rejected")] = (
        0.1
    )
    warmup_steps: Warmup = 5
    weight_decay: Decay = 0.0
    max_grad_norm: Clip = 1.0
    evaluations: Evaluations = 4
    micro_batch_size: MicroBatch = None  # pairs in memory at once; None: as many as fit


@dataclass(frozen=True, slots=True)
class Online:
    """What methods share that learn from their own samples and a reward, from the SFT model."""

    split: Asked = "preference"  # where the prompts come from
    steps: Updates = 80  # updates
    group_size: Annotated[int, whole(2, "a group needs two samples to compare")] = 8  # completions a prompt, c
    # completions an update; with half as many the tiny model gains nothing
    batch_size: Annotated[int, whole(1, "an update learns from samples")] = 64
    # above 1 the later ones learn from samples of an older policy
    updates_per_generation: Annotated[int, whole(1, "samples are used at least once")] = 1
    learning_rate: Rate = 3e-4  # high for a policy gradient, as suits a small model; 1e-3 destroys it
    warmup_steps: Warmup = 5
    weight_decay: Decay = 0.0
    max_grad_norm: Clip = 1.0
    temperature: Warm = 0.7  # of the samples, as for pairs
    top_p: TopP = 1.0
    reward: Reward = "bleu"  # see `gecalign.preferences.rewards`
    # weight of the KL divergence from the reference model
    beta: Annotated[float, Range(0, 100, "below 0 the loss drives the policy away from the reference")] = 0.0
    # the ratio of new to old probability is clipped to 1 - epsilon .. 1 + epsilon
    epsilon: Annotated[
        float, Range(0, 1, "ratios are clipped to 1 - epsilon .. 1 + epsilon", low_open=True, high_open=True)
    ] = 0.2
    evaluations: Evaluations = 4  # checkpoints, evenly spaced
    micro_batch_size: MicroBatch = None  # completions in memory at once; None: as many as fit


@dataclass(frozen=True, slots=True)
class GRPO(Online):
    """Group relative policy optimization. The KL divergence is a part of its loss."""

    # or "normalize_then_sum": each reward within its group first
    multi_objective: Annotated[
        str, Choice(("sum_then_normalize", "normalize_then_sum"), "it says how rewards are added")
    ] = "sum_then_normalize"
    # or "dr_grpo", "dapo": how token losses are averaged
    loss: Annotated[str, Choice(("grpo", "dr_grpo", "dapo"), "it says how token losses are averaged")] = "grpo"
    # advantages divided by the deviation of the "group", the "batch", or "none"
    scale_rewards: Annotated[str, Choice(("group", "batch", "none"), "it says what advantages are divided by")] = (
        "group"
    )


@dataclass(frozen=True, slots=True)
class RLOO(Online):
    """REINFORCE, leave one out. The KL divergence is taken off its rewards."""

    normalize_advantages: bool = False  # over the batch, to mean 0 and deviation 1


@dataclass(frozen=True, slots=True)
class Yardstick:
    """By what score on dev checkpoints are chosen."""

    # or "gleu": on real sentences BLEU hardly tells corrections from copies
    metric: Annotated[str, Choice(YARDSTICKS, "checkpoints are chosen by it")] = "bleu"


@dataclass(frozen=True, slots=True)
class RewardCheck:
    """What is sampled from the frozen policy to see whether rewards differ within groups; as published."""

    prompts: Annotated[int, whole(1, "there is a prompt to ask")] = 120
    samples: Annotated[int, whole(2, "a group needs two samples to compare")] = 16  # for each prompt
    temperature: Warm = 0.9
    top_p: TopP = 0.9


@dataclass(frozen=True, slots=True)
class LoRA:
    """Low-rank adapters in place of all weights, merged into them when a training ends (Hu et al. 2021).

    https://arxiv.org/abs/2106.09685
    """

    # 0: no adapters, all weights are trained
    rank: Annotated[int, Range(0, 4096, "0 means none, and no matrix here has a higher one")] = 0
    # the adapters' product is scaled by alpha / rank
    alpha: Annotated[int, whole(1, "at 0 adapters change nothing")] = 32
    dropout: Annotated[float, Range(0, 1, "at 1 nothing is left of the adapters", high_open=True)] = 0.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What carries a run out. It decides speed, memory and where one can watch, not what is computed.

    So it is in no digest: a product made by one engine is loaded under another. (Random draws differ between engines.)
    """

    # Who writes the samples of pairs and GRPO; or "vllm-colocate", "vllm-server". With vLLM TRL weighs GRPO's tokens by
    # how much likelier the policy is to write them than vLLM was, up to a limit: it corrects for the latter's rounding.
    sampler: Annotated[str, Choice(SAMPLERS, "it says who writes the samples")] = "transformers"
    # of the server, where the sampler is "vllm-server"
    vllm_url: Annotated[str, Text("the address of a server")] = "http://localhost:8000"
    # the share of a GPU that "vllm-colocate" takes; the rest is for training
    vllm_memory: Annotated[
        float, Range(0, 1, "a share of the GPU, and training needs some of it", low_open=True, high_open=True)
    ] = 0.3
    # of the arithmetic, weights are 32-bit: "bf16", "fp16", "fp32"; auto: by the device
    precision: Annotated[str, Choice(PRECISIONS, "it is the arithmetic of trainings")] = "auto"
    gradient_checkpointing: bool = False  # activations computed twice instead of kept: less memory, a third slower
    # to plan micro-batches for; None: what is free when a training starts
    memory_gb: Annotated[float | None, above(0, "no training fits into nothing")] = None
    # or "tensorboard", "wandb", "trackio", or several with commas between them
    report_to: Annotated[str, Choice(TRACKERS, "trackers are asked for by name", several=True, alone="none")] = "none"


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
    rloo: RLOO = field(default_factory=RLOO)
    yardstick: Yardstick = field(default_factory=Yardstick)
    lora: LoRA = field(default_factory=LoRA)
    engine: Engine = field(default_factory=Engine)
    mismatched_prompt: Prompt | None = None  # trained systems are scored with this one, too, as published

    def variant(self, name: str | None = None, **changes: object) -> Profile:
        """Return a copy with values changed, addressed as `part__field` (`sft__steps=100`).

        Raises:
            ValueError: no such part or field, a value of another type, or one that it cannot have; the message names
                what there is.
        """
        return assign(self, changes, name)


def assign(profile: Profile, changes: Mapping[str, object], name: str | None = None, mark: str = "__") -> Profile:
    """Return a copy of a profile with values changed.

    Args:
        changes: values by address.
        mark: what stands between part and field in an address; messages have addresses as they were typed.

    Raises:
        ValueError: as `Profile.variant`.
    """
    parts: dict[str, dict[str, object]] = {}
    for address, value in changes.items():
        part, _, field_name = address.partition(mark)
        parts.setdefault(part, {})[field_name] = value
    replaced = {part: _replace(profile, part, fields, mark) for part, fields in parts.items()}
    return dataclasses.replace(profile, name=name or profile.name, **replaced)  # type: ignore[arg-type]


def decides(decoding: Decoding) -> dict[str, Any]:
    """Return what of a decoding decides its outputs, for digests: what came later counts where somebody changed it."""
    values = dataclasses.asdict(decoding)
    return {name: value for name, value in values.items() if name != "against_copying" or value != 0}


def part_of(settings: SFT | DPO | Online) -> str:
    """Return what the part of a profile is called that settings are of: "grpo"; the controls have theirs from SFT."""
    return type(settings).__name__.lower()


def online(profile: Profile) -> list[Online]:
    """Return the settings of all methods that learn from their own samples."""
    parts = [getattr(profile, one.name) for one in dataclasses.fields(profile)]
    return [part for part in parts if isinstance(part, Online)]


def check(profile: Profile) -> None:
    """Look at every value of a profile, however it was put together.

    Raises:
        ValueError: one is of another type, or one that it cannot have.
    """
    for part in _parts(profile):
        values = getattr(profile, part)
        for name, hint in _hints(type(values)).items():
            _check(f"{part}__{name}", getattr(values, name), hint)


def check_seed(seed: SupportsIndex) -> int:
    """Return a seed as a plain whole number, also where it comes from numpy.

    Raises:
        ValueError: it is none, or none that every library takes.
    """
    plain = operator.index(seed) if isinstance(seed, SupportsIndex) and not isinstance(seed, bool) else seed
    _check("the seed", plain, Seed)
    return plain


def check_seeds(seeds: object, least: int = 1, why: str = "") -> None:
    """Raise ValueError where so many seeds cannot be: a count, from `least` to more than anybody has run."""
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        raise ValueError(f"the number of seeds is {seeds!r} ({type(seeds).__name__}); expected a whole number.")
    if not least <= seeds <= MOST_SEEDS:
        most = f" and at most {MOST_SEEDS:,}" if seeds > least else ""
        raise ValueError(f"--seeds is {seeds}; expected at least {least}{most}{why}.")


def kinds(part: str, name: str) -> frozenset[type]:
    """Return the types that a setting takes, none where there is no such setting."""
    owner = getattr(TINY, part, None)
    hint = _hints(type(owner)).get(name) if dataclasses.is_dataclass(owner) else None
    plain = _plain(hint) if hint else None
    return frozenset(get_args(plain) or ([plain] if plain else []))


def limits_of(hint: object) -> Limits | None:
    """Return what is declared beside a type; beside those of switches there is nothing to declare."""
    for part in (hint, *get_args(hint)):  # a union has it in a part
        if get_origin(part) is Annotated:
            return get_args(part)[1]
    return None


def _parts(profile: Profile) -> list[str]:
    return [f.name for f in dataclasses.fields(profile) if dataclasses.is_dataclass(getattr(profile, f.name))]


def _replace(owner: Profile, part: str, fields: dict[str, object], mark: str) -> object:
    if part not in (parts := _parts(owner)):
        raise ValueError(f"a profile has no part {part!r}. Its parts: {', '.join(parts)}. Write part{mark}field=value.")
    old = getattr(owner, part)
    known = [f.name for f in dataclasses.fields(old)]
    if unknown := [name for name in fields if name not in known]:
        raise ValueError(f"{part!r} has no field {unknown[0]!r}. Its fields: {', '.join(known)}.")
    for name, value in fields.items():
        _check(f"{part}{mark}{name}", value, _hints(type(old))[name])
        # 1 and 1.0 are one setting, and so one product
        fields[name] = float(value) if float in kinds(part, name) and value is not None else value  # type: ignore[arg-type]
    return dataclasses.replace(old, **fields)  # type: ignore[arg-type]


def _hints(part: type) -> dict[str, Any]:
    return get_type_hints(part, include_extras=True)


def _check(address: str, value: object, hint: Any) -> None:
    limits, expected = limits_of(hint), _plain(hint)
    _check_type(address, value, expected)
    if limits:
        null = "null" if "." in address else "None"  # as `--set` reads it
        ranges.check(address, value, limits, null if type(None) in get_args(expected) else "")


def _plain(hint: Any) -> Any:
    """Return a type without what is declared beside it."""
    if get_origin(hint) is Annotated:
        return get_args(hint)[0]
    return reduce(or_, map(_plain, get_args(hint))) if get_args(hint) else hint


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

SMOLLM2_135M = Profile(
    name="smollm2-135m",
    about="a real model on real sentences, JFLEG and C4_200M, both to be had without a hub; hours on two CPU cores",
    data=Data(
        "jfleg-c4",
        train_rows=None,  # 5,865 pairs of the web
        preference_rows=500,
        dev_rows=254,  # what is left of JFLEG's dev set
        test_rows=747,  # all of JFLEG's test set
    ),
    model=Model("smollm2"),
    decoding=Decoding(
        max_new_tokens=96,  # no reference is longer
        batch_tokens=8192,  # more is no faster on two cores
    ),
    sft=SFT(
        steps=60,  # one run had GLEU 45.3, 43.6, 46.5 and 45.6 on dev after 7, 15, 30 and 60
        batch_size=16,
        learning_rate=1e-4,  # as in smollm-135m
        warmup_steps=4,
        max_length=256,
        evaluations=2,  # one takes a minute
    ),
    continued=Continued(learning_rate=2e-5, evaluations=2),
    pairs=Pairs(prompts=None, reward="gleu", count=400, held_out=50),
    dpo=DPO(epochs=2, batch_size=16, learning_rate=1e-5, evaluations=2),
    grpo=GRPO(
        steps=40,
        group_size=8,
        batch_size=64,
        learning_rate=2e-5,  # a fifth of SFT's
        warmup_steps=4,
        reward="gleu",  # BLEU prefers copies: chapter 1
        evaluations=2,
    ),
    reward_check=RewardCheck(prompts=60, samples=8),
    yardstick=Yardstick("gleu"),
)

PROFILES = {p.name: p for p in (SMOKE, TINY, SMOLLM2_135M, SMOLLM_135M, SMOLLM_360M, LLAMA_1B, AS_PUBLISHED)}


def profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if not isinstance(name, str):
        raise ValueError(f"the profile is {name!r} ({type(name).__name__}); expected a name: {', '.join(PROFILES)}.")
    if name not in PROFILES:
        close = get_close_matches(name, PROFILES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown profile {name!r}.{hint} Profiles: {', '.join(PROFILES)}.")
    return PROFILES[name]
