"""How much memory a training takes, known before a model is loaded, and so how many rows fit at once.

The formulas follow Transformers' Llama, which SmolLM is, with the attention of `scaled_dot_product_attention`, and
count what autograd keeps for the backward pass. Weights are held in 32 bits; in "bf16" or "fp16" the arithmetic
runs in 16 by autocast, which keeps a copy of the weights and of many activations. Sizes are in bytes; B rows, T tokens,
L layers, H hidden, I intermediate, V vocabulary.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gecalign.config import Engine, Model
from gecalign.models import smollm2

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FLOAT = 4  # bytes
MARGIN = 0.15  # of the free memory is left alone: freed blocks are of sizes that others cannot use
_TILE = (4096, 32_768)  # positions and words that TRL's head scores at once (trl.kernels.chunked_logprob)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool  # whether the embedding is the output layer, too
    context: int  # tokens

    @property
    def queries(self) -> int:
        """The width of all queries of a token."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """The width of all keys of a token, and of all values."""
        return self.kv_heads * self.head_dim

    @property
    def matrices(self) -> int:
        """The parameters in the matrices of all layers: what autocast makes copies of."""
        return self.layers * self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.intermediate)

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.matrices + (2 * self.layers + 1) * self.hidden

    def adapters(self, rank: int) -> int:
        """Return the number of parameters of low-rank adapters beside every matrix of every layer."""
        h, q, k, i = self.hidden, self.queries, self.keys, self.intermediate
        return self.layers * rank * (2 * (h + q) + 2 * (h + k) + 3 * (h + i))


# So that planning a profile needs no hub, and nothing that was fetched.
KNOWN = {
    smollm2.NAME: Shape(30, 576, 9, 3, 64, 1536, 49_152, True, 8192),
    "HuggingFaceTB/SmolLM-135M": Shape(30, 576, 9, 3, 64, 1536, 49_152, True, 2048),
    "HuggingFaceTB/SmolLM-360M": Shape(32, 960, 15, 5, 64, 2560, 49_152, True, 2048),
    "meta-llama/Llama-3.2-1B": Shape(16, 2048, 32, 8, 64, 8192, 128_256, True, 131_072),
}


@dataclass(frozen=True, slots=True)
class Training:
    """How a training computes: what decides its memory besides the model and the rows."""

    precision: str = "fp32"  # of the arithmetic: or "bf16", "fp16"
    accelerator: bool = False  # where there is none, the head is our plain one (`gecalign.models.lm_head`)
    checkpointing: bool = False  # only the inputs of layers are kept, and the rest is computed again
    lora_rank: int = 0  # 0: all weights are trained
    processes: int = 1  # several keep the gradients a second time, to exchange them
    sharded: bool = False  # each process keeps its part of weights, gradients and moments (FSDP)
    frozen: int = 0  # models that only look on, such as GRPO's reference for the KL divergence

    @property
    def width(self) -> int:
        """Bytes of a number in the arithmetic."""
        return FLOAT if self.precision == "fp32" else 2


@dataclass(frozen=True, slots=True)
class Rows:
    """How large the rows of a training are, at the most, in tokens.

    Attributes:
        length: of a text, prompt and completion together.
        texts: how many a row has; of a preference pair 2.
        scored: of a text those that the loss is computed on; None: all.
    """

    length: int
    texts: int = 1
    scored: int | None = None


def shape(model: Model) -> Shape:
    """Return the sizes of a model, without its weights: from its folder, from a table, or from its hub configuration.

    Raises:
        ValueError: the configuration cannot be read or lacks a size.
    """
    from gecalign.models import loading

    if model.name in KNOWN and not Path(model.name).is_dir():
        return KNOWN[model.name]
    folder = loading.local_folder(model)
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(str(folder or model.name), revision=None if folder else model.revision)
        return shape_of(found)
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f"the sizes of the model {model.name!r} could not be read ({error}). Expected a folder with the "
            f"config.json of a decoder such as Llama, or a model on the hub; known without it: {', '.join(KNOWN)}."
        ) from error


def shape_of(found: PretrainedConfig) -> Shape:
    """Return the sizes that a model's own configuration gives.

    Raises:
        AttributeError: it lacks one.
    """
    found = found.get_text_config()
    heads, hidden = found.num_attention_heads, found.hidden_size
    return Shape(
        layers=found.num_hidden_layers,
        hidden=hidden,
        heads=heads,
        kv_heads=getattr(found, "num_key_value_heads", None) or heads,
        head_dim=getattr(found, "head_dim", None) or hidden // heads,
        intermediate=getattr(found, "intermediate_size", None) or 4 * hidden,
        vocabulary=found.vocab_size,
        tied=bool(found.tie_word_embeddings),
        context=found.max_position_embeddings,
    )


def free(engine: Engine | None = None) -> int:
    """Return the bytes that this process can still take: on its accelerator, or without one in RAM.

    `engine.memory_gb` (of 10^9 bytes) overrides what there is; what the process holds already is taken off it.
    """
    import psutil
    import torch

    wanted = None if engine is None or engine.memory_gb is None else int(engine.memory_gb * 1e9)
    if torch.accelerator.is_available() and not torch.backends.mps.is_available():  # Apple's share the RAM
        held = torch.accelerator.memory_allocated()
        if wanted is None:  # blocks that were freed but not given back can be used again
            return torch.accelerator.get_memory_info()[0] + torch.accelerator.memory_reserved() - held
        return max(0, wanted - held)
    if wanted is None:
        return psutil.virtual_memory().available
    return max(0, wanted - psutil.Process(os.getpid()).memory_info().rss)


def micro_batch(batch: int, rows: Rows, shape: Shape, free_bytes: int, how: Training) -> int:
    """Return how many rows of a batch fit into memory at once: the largest divisor of `batch` that does.

    Call it when all models are loaded that are there during the training, but neither gradients nor moments.

    Args:
        batch: rows of an update in this process.
        free_bytes: what is left, as from `free`.

    Raises:
        ValueError: not even one row fits; the message says what would help.
    """
    usable = (1 - MARGIN) * free_bytes
    low = [n for n in range(1, math.isqrt(batch) + 1) if batch % n == 0]
    for count in sorted({*low, *(batch // n for n in low)}, reverse=True):
        if step(shape, how, count * rows.texts, rows.length, rows.scored) <= usable:
            return count
    ways = [
        *(["gradient checkpointing (engine.gradient_checkpointing=true)"] if not how.checkpointing else []),
        *(["low-rank adapters (lora.rank=16)"] if not how.lora_rank else []),
        "shorter rows (sft.max_length, decoding.max_new_tokens)",
        "a GPU with more memory",
    ]
    needed = step(shape, how, rows.texts, rows.length, rows.scored) / (1 - MARGIN)
    raise ValueError(
        f"not even one row of {rows.texts * rows.length} tokens fits: training it takes {needed / 1e9:.1f} GB beside "
        f"the loaded models, and {free_bytes / 1e9:.1f} GB are free. What helps: {', '.join(ways[:-1])}, or {ways[-1]}."
    )


# ---- parts


def weights(shape: Shape) -> int:
    """Return the bytes of a model's weights."""
    return FLOAT * shape.parameters


def kept(shape: Shape, how: Training) -> int:
    """Return the bytes that a process keeps of the weights that are trained."""
    return weights(shape) // how.processes if how.sharded else weights(shape)


def state(shape: Shape, how: Training) -> int:
    """Return the bytes of what is kept for every trained parameter: its gradient, and two moments of AdamW."""
    trained = shape.adapters(how.lora_rank) if how.lora_rank else shape.parameters
    if how.sharded:
        return FLOAT * trained * 3 // how.processes
    return FLOAT * trained * (4 if how.processes > 1 else 3)


def copies(shape: Shape, how: Training) -> int:
    """Return the bytes of the 16-bit copies of weights, which autocast keeps until the loss is computed.

    Where weights are sharded, they are those of the layer that is computed and the next one, and of the embeddings,
    gathered from all processes.
    """
    if how.sharded:
        gathered = 2 * shape.matrices // shape.layers + shape.vocabulary * shape.hidden
        return how.width * gathered + (0 if how.precision == "fp32" else how.width * shape.matrices * how.frozen)
    return 0 if how.precision == "fp32" else how.width * shape.matrices * (1 + how.frozen)


def activations(shape: Shape, how: Training, rows: int, length: int) -> int:
    """Return the bytes that are kept for the backward pass of B = `rows` texts of T = `length` tokens, without head."""
    layer = FLOAT * rows * length * shape.hidden if how.checkpointing else _layer(shape, how, rows, length)
    last_norm = 2 * FLOAT * rows * length * shape.hidden
    return shape.layers * layer + last_norm


def head(shape: Shape, how: Training, rows: int, length: int, scored: int | None = None) -> int:
    """Return the bytes that the log-probabilities of the scored positions take at their peak."""
    positions = rows * (scored or length)
    if how.accelerator:
        tile = min(positions, _TILE[0]) * _TILE[1] * how.width
        gradient = 0 if how.lora_rank else FLOAT * shape.vocabulary * shape.hidden
        copy = 0 if how.precision == "fp32" else min(_TILE[1], shape.vocabulary) * shape.hidden * how.width
        return tile + gradient + copy + 3 * FLOAT * positions * shape.hidden
    # logits, their logarithmic softmax, and for the entropy its exponential and the product of both
    return 4 * FLOAT * positions * shape.vocabulary


def step(shape: Shape, how: Training, rows: int, length: int, scored: int | None = None) -> int:
    """Return the peak bytes of a training with micro-batches of so many texts, beside the loaded models."""
    scoring = head(shape, how, rows, length, scored)
    passing = _passing(shape, how, rows, length)
    if how.checkpointing:  # a layer is computed again when the head is done
        last = max(scoring, _layer(shape, how, rows, length) + passing)
    else:
        last = scoring + passing
    return state(shape, how) + copies(shape, how) + activations(shape, how, rows, length) + last


def generation(shape: Shape, how: Training, rows: int, prompt: int, new: int) -> int:
    """Return the peak bytes of writing: `rows` texts at once, `prompt` and `new` tokens each, beside the models."""
    # of a layer; the rotation of keys is computed in 32 bits, values stay in 16
    read, whole = (rows * tokens * shape.keys * (FLOAT + how.width) for tokens in (prompt, prompt + new))
    reading = shape.layers * read + _passing(shape, how, rows, prompt)
    extending = whole if how.precision == "fp32" else 2 * whole  # the old one beside the new, and one in 16 bits
    sampling = rows * shape.vocabulary * 8 * FLOAT  # logits, sorted with their places, added up
    return copies(shape, how) + max(reading, shape.layers * whole + extending + sampling)


def _layer(shape: Shape, how: Training, rows: int, length: int) -> int:
    """Return the bytes that one layer keeps."""
    c, h, q, i = how.width, shape.hidden, shape.queries, shape.intermediate
    norms = 2 * 2 * FLOAT * h  # the input of each, and what it is before its weight
    # autocast converts an input for every matrix that it meets: queries, keys, values, gate, up
    inputs = 2 * FLOAT * h if c == FLOAT else 5 * c * h
    attention = 4 * c * q + FLOAT * shape.heads  # keys and values, too, are repeated for all heads
    feed_forward = 4 * c * i
    adapters = c * 7 * how.lora_rank
    mask = rows * length * length * c  # made a float in every layer
    return rows * length * (norms + inputs + attention + feed_forward + adapters) + mask


def _passing(shape: Shape, how: Training, rows: int, length: int) -> int:
    """Return the bytes that a layer takes for a moment: gradients on the way back, or activations without any."""
    return rows * length * (3 * how.width * shape.intermediate + 4 * FLOAT * shape.hidden)
