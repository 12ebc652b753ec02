"""Log-probabilities of tokens on a CPU: the same values as TRL's, in less time.

TRL's trainers ask a model for log-probabilities instead of logits (`trl.trainer.utils.add_fused_lm_head`), which
saves memory where the vocabulary is large. On a CPU that goes over every position in tiles, those of the prompt
included, though their values are thrown away. Here the positions that count are scored, all at once, and rows are
packed before (`packed`).
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from gecalign.models import packed

# What TRL's head knows and ours does not (`trl.trainer.utils.add_fused_lm_head`).
SCALES = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def use_plain_head(model: PreTrainedModel, temperature: float = 1.0) -> None:
    """Make `model(..., labels=labels, fused_lm_head=True)` compute what TRL's own does, in one piece.

    Call it after the trainer was made, which has patched the model itself. A call without `fused_lm_head` is the
    original one. On an accelerator nothing changes, nor where a model scales its logits or caps them.
    """
    if model.device.type != "cpu" or any(getattr(model.config, name, None) for name in SCALES):
        return
    patched = model.forward

    @functools.wraps(type(model).forward)  # `generate` looks at the signature
    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: torch.Tensor | None = None,
        num_items_in_batch: Any = None,
        **inputs: Any,
    ) -> Any:
        if not fused_lm_head or labels is None:
            return patched(*args, labels=labels, **inputs)
        targets = labels[:, 1:]
        counts = targets != -100
        hidden = _predictors(self, counts, labels, *args, **inputs)  # (positions that count, H)
        logits = self.get_output_embeddings()(hidden).float() / temperature  # (positions that count, V)
        every = torch.log_softmax(logits, dim=-1)
        log_probs = every.gather(-1, targets[counts].unsqueeze(-1)).squeeze(-1)

        def spread(values: torch.Tensor) -> torch.Tensor:
            return values.new_zeros(counts.shape).masked_scatter(counts, values)

        items = counts.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        with torch.no_grad():
            entropy = spread(-(every.exp() * every).sum(dim=-1))
            mean_logits, is_top1 = spread(logits.mean(dim=-1)), spread(logits.argmax(dim=-1) == targets[counts])
        return FusedCausalLMOutput(
            loss=-log_probs.sum() / items,
            log_probs=spread(log_probs),
            entropy=entropy,
            mean_logits=mean_logits,
            is_top1=is_top1,
            label_mask=counts,
        )

    model.forward = types.MethodType(forward, model)  # type: ignore[method-assign]


def _predictors(model: PreTrainedModel, counts: torch.Tensor, labels: torch.Tensor, *args: Any, **inputs: Any) -> Any:
    """Return the hidden states that predict what counts, (positions that count, H), packed where that can be done."""
    given = {name for name, value in inputs.items() if value is not None} - {"use_cache", "return_dict"}
    if not args and given == {"input_ids", "attention_mask"} and packed.possible(model):
        width = model.config.hidden_size
        batch = packed.pack(inputs["input_ids"], inputs["attention_mask"], labels, width)
        if batch:
            hidden = model.base_model(**batch.inputs, use_cache=False).last_hidden_state  # (R, L, H)
            # not by an index: its gradient is added up in no certain order where several threads do it
            return hidden.flatten(0, 1).index_select(0, batch.predictors)
    return model.base_model(*args, **inputs | {"use_cache": False}).last_hidden_state[:, :-1][counts]
