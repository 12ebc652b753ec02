"""Checks of what training starts from and does: weights and their precision, the reference model, batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gecalign import prompts
from gecalign.checks.patient import ROWS, Check, Finding, Patient, scratch, together, worst

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PROBED = 20_000  # entries of a weight matrix that are looked at
LEAST_MOVED = 0.5  # of the weights that have a gradient; if an update moves fewer, rounding eats it
SAME_LOSS = {"fp32": 1e-4, "bf16": 1e-2, "fp16": 2e-3}  # nats by which the same numbers may differ


def weights(patient: Patient) -> Check:
    """Whether the weights are 32-bit, and which share of them the first update of each method moves."""
    import torch

    probed = _probe(patient)
    types = sorted({str(weight.dtype).removeprefix("torch.") for weight, _ in probed})
    profile = patient.profile
    rates = {"SFT": profile.sft.learning_rate, "DPO": profile.dpo.learning_rate, "GRPO": profile.grpo.learning_rate}
    moved = {name: _moved(probed, rate) for name, rate in rates.items()}
    in_bf16 = {name: _moved(probed, rate, torch.bfloat16) for name, rate in rates.items()}
    shares = ", ".join(f"{moved[name]:.0%} by {name} (rate {rate:g})" for name, rate in rates.items())
    words = f"{' and '.join(types)}; of the weights with a gradient the first update moves {shares}."
    if types != ["float32"]:
        return Check("weights", "fail", f"{words} Smaller steps than the spacing of 16-bit floats are lost. Load "
                     "weights in 32 bits, and leave 16 bits to autocast (engine__precision).")  # fmt: skip
    if min(moved.values()) < LEAST_MOVED:
        return Check("weights", "warn", f"{words} Rates this small are lost even in 32-bit weights: raise them.")
    contrast = ", ".join(f"{share:.0%}" for share in in_bf16.values())
    return Check("weights", "pass", f"{words} (Were they bfloat16: {contrast}.)")


def _probe(patient: Patient) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a part of every weight that is trained, and its gradient on a few demonstrations."""
    from gecalign.models import loading
    from gecalign.training import arguments

    model, tokenizer = patient.base
    if patient.profile.lora.rank:
        from peft import get_peft_model

        model = get_peft_model(model, arguments.adapters(patient.profile.lora))
    rows = patient.train[:ROWS]
    texts = [prompts.render(patient.profile.prompt, e.source) + prompts.completion(e.demonstration) for e in rows]
    batch = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with loading.autocast(patient.engine):
        loss = model(**batch, labels=labels).loss
    loss.backward()
    found = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            every = max(1, parameter.numel() // PROBED)
            found.append(tuple(t.detach().flatten()[::every].clone() for t in (parameter, parameter.grad)))
    model.zero_grad(set_to_none=True)
    return found  # type: ignore[return-value]


def _moved(probed: Sequence[tuple[torch.Tensor, torch.Tensor]], rate: float, dtype: torch.dtype | None = None) -> float:
    """Return the share of the weights with a gradient that one step of AdamW moves at all, 0-1."""
    import torch

    moved = touched = 0
    for weight, gradient in probed:
        before = weight.to(dtype or weight.dtype)
        after = torch.nn.Parameter(before.clone())
        after.grad = gradient.to(before.dtype)
        torch.optim.AdamW([after], lr=rate, weight_decay=0.0).step()
        has = gradient != 0  # embeddings of words that do not occur have none
        moved += int((after != before)[has].sum())
        touched += int(has.sum())
    return moved / max(1, touched)


# ---- the reference model


def reference(patient: Patient) -> Check:
    """Whether DPO and GRPO start where their reference model is: at SFT, so at a KL divergence of 0."""
    from gecalign.models import loading

    allowed = SAME_LOSS[loading.precision(patient.engine)]
    loss, divergence = _first_dpo_loss(patient), _first_divergence(patient)
    words = (
        f"DPO starts at a loss of {loss:.4f} (ln 2 is {math.log(2):.4f}), and GRPO at a KL divergence from its "
        f"reference model of {divergence:.4f} nats a token (0 if both are the SFT model)."
    )
    if abs(loss - math.log(2)) <= allowed and divergence <= allowed:
        return Check("reference model", "pass", words)
    return Check("reference model", "fail", f"{words} So a reference is another model than the one that training "
                 "starts from. Pass the SFT model itself; where none is passed, TRL loads one from the path that the "
                 "model remembers, which may be the base.")  # fmt: skip


def _first_dpo_loss(patient: Patient) -> float:
    """Return DPO's loss on a few pairs before any update, in nats; ln 2 where policy and reference are the same."""
    import torch

    from gecalign.training import dpo

    policy, (other, _) = patient.study.model("sft"), patient.study.model("sft")
    chosen = patient.pairs()
    with scratch() as folder:
        trainer = dpo.trainer(policy, other, chosen, [], patient.profile.dpo, patient.run(folder))
        rows = [trainer.train_dataset[i] for i in range(len(chosen))]
        batch = trainer._prepare_inputs(trainer.data_collator(rows))
        trainer.model.eval()
        with torch.no_grad(), trainer.accelerator.autocast():
            return float(trainer.compute_loss(trainer.model, batch))


def _first_divergence(patient: Patient) -> float:
    """Return GRPO's KL divergence on a few demonstrations before any update, in nats a token, as TRL estimates it."""
    import torch

    from gecalign.models import loading
    from gecalign.runtime import processes
    from gecalign.training import grpo

    study, settings = patient.study, patient.profile.grpo
    (model, tokenizer), (other, _) = study.model("sft"), study.model("sft")
    small = replace(settings, steps=1, batch_size=settings.group_size * processes.count(), updates_per_generation=1,
                    evaluations=1, micro_batch_size=None)  # fmt: skip
    examples = study.prompted(settings.split)[: max(ROWS, processes.count())]
    with scratch() as folder:
        trainer = grpo.trainer((model, tokenizer), other, examples, small, patient.run(folder))
        texts = [prompts.render(patient.profile.prompt, e.source) + prompts.completion(e.source) for e in examples]
        batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(trainer.model.device)
        trainer.model.eval()
        with torch.no_grad(), loading.autocast(patient.engine):
            policy = _log_probs(trainer, trainer.model, batch)
            references = [trainer.kl_reference, *([trainer.ref_model] if trainer.ref_model is not None else [])]
            differences = [_log_probs(trainer, one, batch) - policy for one in references]
        return max(float((d.exp() - d - 1).mean()) for d in differences)


def _log_probs(trainer: Any, model: PreTrainedModel, batch: Any) -> torch.Tensor:
    """Return log-probabilities of the last tokens of every text, shape (texts, tokens of the shortest less one)."""
    kept = int(batch["attention_mask"].sum(dim=1).min()) - 1
    return trainer._get_per_token_logps_and_entropies(model, batch["input_ids"], batch["attention_mask"], kept)[0]


# ---- batches


def batches(patient: Patient) -> Check:
    """Whether the batches divide among processes, micro-batches and groups, and what the trainings will take."""
    return together("batches", [_supervised(patient), _preferring(patient), _rewarded(patient)])


def _supervised(patient: Patient) -> Finding:
    settings, rows = patient.profile.sft, len(patient.train)
    passes = settings.steps * settings.batch_size / rows
    return _divided("SFT", settings, settings.steps, f"{settings.steps:,} updates of {settings.batch_size} rows, "
                    f"{passes:.1f} passes over {rows:,} demonstrations")  # fmt: skip


def _preferring(patient: Patient) -> Finding:
    settings, count = patient.profile.dpo, patient.profile.pairs.count
    updates = settings.epochs * -(-count // settings.batch_size)
    return _divided("DPO", settings, updates, f"{updates:,} updates of {settings.batch_size} pairs, {settings.epochs} "
                    f"passes over {count:,}")  # fmt: skip


def _rewarded(patient: Patient) -> Finding:
    from gecalign.training import groups

    settings = patient.profile.grpo
    try:
        plan = groups.plan(settings)
    except ValueError as error:
        return "fail", f"GRPO: {error}"
    there = len(patient.study.prompted(settings.split))
    if there < plan["prompts_a_generation"]:
        return "fail", (
            f"GRPO: a generation takes {plan['prompts_a_generation']} prompts, and the split {settings.split} has "
            f"{there}. Lower grpo__batch_size or raise data__preference_rows."
        )
    status, words = _divided("GRPO", settings, settings.steps, groups.in_words(plan))
    passes = plan["prompts_in_all"] / there
    if passes > 1:
        words = f"{words[:-1]}: each of the {there:,} prompts {passes:.1f} times."
    return worst(status, "warn" if plan["updates_a_generation"] > 1 else "pass"), words


def _divided(name: str, settings: Any, updates: int, words: str) -> Finding:
    from gecalign.runtime import processes
    from gecalign.training import arguments

    try:
        share = arguments.share(settings)
    except ValueError as error:
        return "fail", f"{name}: {error}"
    micro = settings.micro_batch_size
    if micro and share % micro:
        return "fail", (
            f"{name}: the batch of a process is {share}, no multiple of {name.lower()}__micro_batch_size, {micro}. Set "
            "one that divides it, or none."
        )
    if processes.count() > 1:
        words += f", {share} in each of {processes.count()} processes"
    if settings.warmup_steps >= updates:
        return "warn", (f"{name}: {words}; warm-up takes {settings.warmup_steps}, so the learning rate is never "
                        f"reached. Lower {name.lower()}__warmup_steps.")  # fmt: skip
    return "pass", f"{name}: {words}."
