"""A trainer that learns from its own samples, with open eyes: the KL divergence in its log, its groups in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel

from gecalign import config
from gecalign.models import loading
from gecalign.runtime import processes, store
from gecalign.training import health

# How PyTorch says so, on CPUs and on GPUs.
NO_PROBABILITIES = ("probability tensor contains", "device-side assert")


def watched(trainer_class: type) -> type:
    """Return TRL's trainer class; it logs the KL divergence even where nothing is trained for it, and keeps groups.

    Both models are taken at the temperature that samples are drawn at. Where samples are older than the policy, or
    `top_p` cuts their distribution, they are not the policy's own, and the estimate is only roughly its divergence.
    """

    class Watched(trainer_class):  # type: ignore[misc, valid-type]
        kl_reference: PreTrainedModel
        engine: config.Engine
        groups_file: Path | None = None
        shuffle_rewards: bool = False

        def _generate(self, *args: Any) -> Any:
            # around all tokens, or the weights would be converted for each anew
            with loading.autocast(self.engine), loading.converted_once(self.model):
                try:
                    return super()._generate(*args)
                except RuntimeError as error:
                    if not any(words in str(error) for words in NO_PROBABILITIES):
                        raise
                    fault = "the probabilities that samples are drawn with are no finite numbers"
                    raise store.Spoiled(
                        health.broken(fault, self.args, self.state.global_step, self.watch.part)
                    ) from error

        def _calculate_rewards(self, *args: Any) -> Any:
            rewarded = super()._calculate_rewards(*args)  # (samples of all processes, rewards), group by group
            if not self.shuffle_rewards:
                return rewarded
            # drawn from seed and update alone, so that a resumed training deals as an uninterrupted one
            order = torch.Generator().manual_seed(self.args.seed + 1000 * self.state.global_step)
            return _dealt(rewarded, self.num_generations, order)

        def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            result = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
            if torch.is_grad_enabled():  # so this is the policy, in the loss
                self._policy_logps = result[0].detach()
            return result

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            loss = super()._compute_loss(model, inputs)
            if self.beta == 0:  # else the trainer has done it
                mask = inputs["completion_mask"]
                ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
                attended = torch.cat([inputs["prompt_mask"], mask], dim=1)
                with torch.no_grad(), loading.autocast(self.engine):
                    asked = self._get_per_token_logps_and_entropies(self.kl_reference, ids, attended, mask.shape[1])
                    mean = _divergence(self._policy_logps, asked[0], mask)
                self._metrics["train"]["kl"].append(self.accelerator.gather(mean).mean().item())
            return loss

        def _save_checkpoint(self, *args: Any) -> None:
            super()._save_checkpoint(*args)
            if self.groups_file and processes.is_main():
                _write_groups(self._logs, self.groups_file)

    Watched.__name__ = trainer_class.__name__
    return Watched


def _dealt(rewarded: torch.Tensor, size: int, order: torch.Generator) -> torch.Tensor:
    """Return rewards, (samples, rewards), dealt out anew within each group of so many samples."""
    groups = rewarded.view(-1, size, rewarded.shape[-1])
    dealt = torch.rand(groups.shape[:2], generator=order).argsort(dim=1).to(rewarded.device)
    return groups.gather(1, dealt.unsqueeze(-1).expand_as(groups)).view_as(rewarded)


def _divergence(policy: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence, nats a token, estimated from the policy's samples: log-probabilities, mask (B, T).

    Never negative, as TRL and the GRPO paper have it.
    """
    difference = reference - policy
    divergence = difference.exp() - difference - 1
    return (divergence * mask).sum() / mask.sum().clamp(min=1)


def _write_groups(logs: Mapping[str, Any], path: Path) -> None:
    columns = {"prompt": logs["prompt"], "completion": logs["completion"]}
    columns |= {f"reward {name}": values for name, values in logs["rewards"].items()}
    columns["advantage"] = logs["advantages"]
    pd.DataFrame(columns).to_json(path, orient="records", lines=True, force_ascii=False)
