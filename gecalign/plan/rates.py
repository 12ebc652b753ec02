"""How fast this machine trains and writes, measured in seconds with a model of random weights.

The model has the width and vocabulary of the one that is planned for, but only one layer, then two; what a layer adds
is added for all others. So nothing is loaded, and a model of any depth takes about as long to measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any

from gecalign.models.memory import Shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from gecalign.config import Engine

SHALLOW = 4  # layers; a model that has no more is measured whole
WORK = 2e10  # multiplications of a measurement without an accelerator: about a second
LONG = 1.0  # seconds: what warming up takes is nothing beside it
NEW = (2, 10)  # tokens written: the difference is what steps take
NO_END = -1  # no token, so that all texts are as long


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of one process."""

    token: float  # a token, prompt or completion, goes forward and back
    update: float  # the optimizer moves all weights
    step: float  # a batch writes a token each, whatever its size
    row: float  # ... and this much more for each text in the batch

    @property
    def read(self) -> float:
        """Seconds for a token that only goes forward."""
        return self.token / 3

    def writing(self, texts: float, at_once: float, prompts: float, steps: float, written: float) -> float:
        """Return the seconds for so many texts, `at_once` in a batch that goes on for `steps` tokens.

        Args:
            prompts: tokens of all prompts together, each read once.
            written: tokens of a text, on average; it leaves the batch then.
        """
        batches = max(1.0, texts / at_once)
        return prompts * self.read + steps * batches * self.step + texts * written * self.row


@dataclass(frozen=True, slots=True)
class Measured:
    """What is trained and written while the clock runs."""

    prompt: int  # tokens
    new: int  # tokens of a completion
    trained: int  # rows of a micro-batch
    written: int  # texts at once


def measure(shape: Shape, engine: Engine, work: Measured, parameters: int) -> Speed:
    """Measure the rates for a model on this process's device, in the precision that the engine will compute in.

    Args:
        parameters: how many are trained.
    """
    import torch

    from gecalign.models import loading

    depths = (shape.layers,) if shape.layers <= SHALLOW else (1, 2)
    with torch.random.fork_rng([loading.device()] if loading.device().type == "cuda" else []):
        found = [_measure(replaced(shape, layers=n), engine, work) for n in depths]
    first, last = found[0], found[-1]
    deep = {
        field.name: getattr(first, field.name)
        + (shape.layers - depths[0]) * max(0.0, getattr(last, field.name) - getattr(first, field.name))
        for field in fields(Speed)
    }
    return Speed(**deep | {"update": parameters * _seconds_a_parameter()})


def _measure(shape: Shape, engine: Engine, work: Measured) -> Speed:
    import torch

    from gecalign.config import Decoding
    from gecalign.models import loading
    from gecalign.models.generation import generate

    prompt, trained, written = work.prompt, work.trained, work.written
    on_cpu, length = loading.device().type == "cpu", prompt + work.new
    if on_cpu:  # time is proportional there, so that a part tells as much
        trained = _at_most(trained, 3 * length * shape.parameters)
        written = _at_most(written, sum(NEW) * shape.parameters)
    model = _model(shape, prompt + max(work.new, *NEW))
    ids = torch.randint(shape.vocabulary, (max(trained, written), length), device=model.device)
    labels = ids[:trained].clone()
    labels[:, :prompt] = -100

    def train() -> None:
        with loading.autocast(engine):
            loss = model(ids[:trained], attention_mask=torch.ones_like(labels), labels=labels, fused_lm_head=True).loss
        loss.backward()
        model.zero_grad()

    def write(rows: int, tokens: int) -> Callable[[], None]:
        def run() -> None:
            how = Decoding(temperature=1.0, max_new_tokens=tokens)
            with torch.no_grad(), loading.autocast(engine):
                generate(model, ids[:rows, :prompt].tolist(), how, NO_END, [[(row,)] for row in range(rows)])

        return run

    if engine.gradient_checkpointing:
        model.activation_checkpointing_enable()
    model.train()
    token = _seconds(train) / (trained * length)
    model.eval()
    few = max(1, written // 8)
    at_few, at_many = (
        (_seconds(write(rows, NEW[1])) - _seconds(write(rows, NEW[0]))) / (NEW[1] - NEW[0]) for rows in (few, written)
    )
    row = max(0.0, at_many - at_few) / max(1, written - few)
    return Speed(token, 0.0, max(0.0, at_few - few * row), row)


def _model(shape: Shape, context: int) -> PreTrainedModel:
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from gecalign.models import loading
    from gecalign.models.lm_head import use_plain_head

    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        intermediate_size=shape.intermediate, tie_word_embeddings=shape.tied, max_position_embeddings=context,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    with loading.device():
        model: Any = LlamaForCausalLM(config)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    use_plain_head(model)
    return model


def _seconds_a_parameter() -> float:
    import torch

    from gecalign.models import loading

    weight = torch.nn.Parameter(torch.zeros(4_000_000, device=loading.device()))
    weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW([weight], fused=True)
    return _seconds(optimizer.step) / weight.numel()


def _seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that some work takes: the least of three runs, or of one where that takes long."""
    import torch

    times: list[float] = []
    while len(times) < 3 and sum(times) < LONG:
        start = time.perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def _at_most(rows: int, work_a_row: float) -> int:
    return max(1, min(rows, int(WORK / work_a_row)))
