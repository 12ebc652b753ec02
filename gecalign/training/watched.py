"""A trainer that learns from its own samples, with open eyes: the KL divergence in its log, its groups in a file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel
from trl import GRPOTrainer

from gecalign import config
from gecalign.models import generation, loading
from gecalign.runtime import processes, store
from gecalign.training import health

KL_EVERY = 4  # samples: a forward pass of a second model over all of them would be a quarter of the training


def watched(trainer_class: type) -> type:
    """Return TRL's trainer class; it logs the KL divergence even where nothing is trained for it, and keeps groups.

    It writes its samples with our own loop, but for vLLM. Where nothing is trained for it, the divergence is estimated
    from every fourth sample, which the trainer has shuffled.

    Both models are taken at the temperature that samples are drawn at. Where samples are older than the policy, or
    `top_p` cuts their distribution, they are not the policy's own, and the estimate is only roughly its divergence.
    """

    class Watched(trainer_class):  # type: ignore[misc, valid-type]
        kl_reference: PreTrainedModel
        engine: config.Engine
        groups_file: Path | None = None
        shuffle_rewards: bool = False
        samples_seen: int = 0

        def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any) -> Any:
            if self.use_vllm:
                return super()._generate_single_turn(prompt_ids, *args)
            try:
                written = _written(self, prompt_ids)
            except RuntimeError as error:
                if str(error) != generation.NO_PROBABILITIES:
                    raise
                fault = health.broken(str(error), self.args, self.state.global_step, self.watch.part)
                raise store.Spoiled(fault) from error
            # GRPO's trainer also takes log-probabilities that were computed while sampling
            return (written, None) if isinstance(self, GRPOTrainer) else written

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
                some = slice(-self.samples_seen % KL_EVERY, None, KL_EVERY)  # counted through all micro-batches
                self.samples_seen += len(inputs["completion_ids"])
                if len(inputs["completion_ids"][some]):
                    mean = _divergence_of(self, inputs, some)
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


def _written(trainer: Any, prompt_ids: list[list[int]]) -> list[list[int]]:
    """Return a completion of each prompt, in tokens; those of one prompt stand together."""
    how = config.Decoding(trainer.temperature, trainer.top_p, max_new_tokens=trainer.max_completion_length)
    # drawn from seed and update alone, so that a resumed training draws as an uninterrupted one
    key = (trainer.args.seed, trainer.state.global_step, processes.index())
    groups = [list(copies) for _, copies in groupby(enumerate(prompt_ids), key=itemgetter(1))]
    keys = [[(*key, number, generation.TRAINING) for number, _ in group] for group in groups]
    asked, end = [group[0][1] for group in groups], trainer.processing_class.eos_token_id
    training = trainer.model.training
    trainer.model.eval()
    try:
        with torch.no_grad(), loading.autocast(trainer.engine), loading.converted_once(trainer.model):
            written = generation.generate(trainer.model, asked, how, end, keys)
    finally:
        trainer.model.train(training)
    return [completion for group in written for completion in group]


def _divergence_of(trainer: Any, inputs: Mapping[str, torch.Tensor], some: slice) -> torch.Tensor:
    """Return the divergence of some of the samples whose loss was just computed."""
    mask = inputs["completion_mask"][some]
    ids = torch.cat([inputs["prompt_ids"][some], inputs["completion_ids"][some]], dim=1)
    attended = torch.cat([inputs["prompt_mask"][some], mask], dim=1)
    with torch.no_grad(), loading.autocast(trainer.engine):
        asked = trainer._get_per_token_logps_and_entropies(trainer.kl_reference, ids, attended, mask.shape[1])
    return _divergence(trainer._policy_logps[some], asked[0], mask)


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
