"""SFT, DPO and GRPO through TRL, side by side: what differs between the methods is what differs between the lines.

Each function trains a model, leaves the checkpoint with the highest dev BLEU (`model/`) and the log (`log.csv`) in a
folder, and returns the facts worth recording. What they share stands in `gecalign.loop`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from gecalign import config, health, loop, models, processes, prompts, rewards, store, vllm_sampling
from gecalign.decode import decode
from gecalign.examples import Example
from gecalign.lm_head import use_plain_head
from gecalign.pairs import PreferencePair

# How PyTorch says so, on CPUs and on GPUs.
NO_PROBABILITIES = ("probability tensor contains", "device-side assert")
ENGINE, NO_LORA = config.Engine(), config.LoRA()  # what trains where nobody says otherwise


def sft(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[dict[str, str]],
    dev: Sequence[Example],
    settings: config.SFT,
    prompt: config.Prompt,
    decoding: config.Decoding,
    seed: int,
    folder: Path,
    evaluate_early: bool = True,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
) -> dict[str, Any]:
    """Fine-tune `model` on rows of prompt and completion, such as `demonstrations` or `references` give.

    The loss is the mean negative log-likelihood (nats a token) of the completion and the EOS after it,
    given the prompt; with `completion_only_loss=False` the prompt's tokens count too. Explained in chapter 2.

    Args:
        evaluate_early: whether checkpoints stand denser at the start, where most is learnt, or evenly, as in the
            other methods, so that a control has no more of them to choose from.
    """
    usable = fitting(train, tokenizer, settings.max_length)
    trainer = sft_trainer(
        model, tokenizer, usable, references(dev, prompt), settings, seed, folder, evaluate_early, engine, lora
    )
    trainer.dev_bleu = loop.dev_bleu(dev, tokenizer, prompt, decoding, engine)
    loop.announce("sft", settings.steps * loop.seconds_per_update(trainer))
    facts = loop.run(trainer, tokenizer, folder)
    log = pd.read_csv(folder / "log.csv")
    lowest = int(log["step"].iloc[log["eval_loss"].argmin()])
    return {**facts, "lowest_loss_step": lowest, "rows": len(usable), "too_long": len(train) - len(usable)}


def dpo(
    model: PreTrainedModel,
    reference_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    dev: Sequence[Example],
    settings: config.DPO,
    prompt: config.Prompt,
    decoding: config.Decoding,
    seed: int,
    folder: Path,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
) -> dict[str, Any]:
    """Train `model` to prefer the chosen completion of each pair to the rejected one.

    The loss is -log sigmoid(beta * ((log pi(chosen) - log ref(chosen)) - (log pi(rejected) - log ref(rejected)))),
    log-probabilities in nats, summed over the tokens of a completion and its EOS (Rafailov et al. 2023, equation
    7, https://arxiv.org/abs/2305.18290). Explained in chapter 4.

    Args:
        reference_model: what the model must not stray from; its log-probabilities are computed once.
        held_out: pairs whose loss and accuracy are only measured.
    """
    trainer = dpo_trainer(model, reference_model, tokenizer, train, held_out, settings, seed, folder, engine, lora)
    trainer.dev_bleu = loop.dev_bleu(dev, tokenizer, prompt, decoding, engine)
    loop.announce("dpo", trainer.args.max_steps * loop.seconds_per_update(trainer))
    return {**loop.run(trainer, tokenizer, folder), "pairs": len(train), "held_out": len(held_out)}


def grpo(
    model: PreTrainedModel,
    reference_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    dev: Sequence[Example],
    settings: config.GRPO,
    prompt: config.Prompt,
    decoding: config.Decoding,
    seed: int,
    folder: Path,
    shuffle_rewards: bool = False,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
    start_bleu: float | None = None,
) -> dict[str, Any]:
    """Train `model` to write more of what a reward prefers among its own samples, a group of them for each prompt.

    Explained in chapter 6. Completions, rewards and advantages of the last generation are left in `groups.jsonl`.

    Args:
        reference_model: what the KL divergence in the log is measured from where `beta` is 0. With `beta` above 0
            it is a part of the loss, and TRL loads the reference from where `model` was loaded from.
        shuffle_rewards: whether the rewards of a group are dealt out to its samples at random, as a control.
        start_bleu: dev BLEU of `model`, where it is known: what checkpoints are compared with (`gecalign.health`).
    """
    trainer = grpo_trainer(
        model, reference_model, tokenizer, train, settings, prompt, decoding, seed, folder, engine, lora
    )
    trainer.dev_bleu = loop.dev_bleu(dev, tokenizer, prompt, decoding, engine)
    plan = grpo_plan(settings)
    seconds, tokens = _grpo_cost(trainer, train, settings, prompt, decoding, engine)
    loop.announce("grpo", seconds, f"{plan_in_words(plan)}, about {tokens:,} tokens; ")
    trainer.watch.start = start_bleu
    trainer.groups_file, trainer.shuffle_rewards = folder / "groups.jsonl", shuffle_rewards
    facts = loop.run(trainer, tokenizer, folder)
    if trainer.use_vllm:
        vllm_sampling.release(trainer.vllm_generation)
    mean_length = pd.read_csv(folder / "log.csv")["completions/mean_length"].mean()  # tokens, EOS included
    return {**facts, **plan, "sampled_tokens": round(plan["samples_in_all"] * mean_length)}


def sft_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[dict[str, str]],
    dev: Sequence[dict[str, str]],
    settings: config.SFT,
    seed: int,
    folder: Path,
    evaluate_early: bool = True,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
) -> SFTTrainer:
    """Return TRL's trainer on rows of prompt and completion, ready to train."""
    micro_batch = loop.micro_batch(settings, model, max(lengths(train, tokenizer)), engine, lora)
    trainer = loop.measured(SFTTrainer)(
        model=model,
        processing_class=tokenizer,
        peft_config=loop.adapters(lora),
        args=loop.arguments(
            SFTConfig,
            completion_only_loss=settings.completion_only_loss,
            max_length=None,  # rows that are too long were dropped, not cut
            train_sampling_strategy="group_by_length",
            include_num_input_tokens_seen="non_padding",
            eval_on_start=True,
            **loop.shared_arguments(settings, settings.steps, seed, folder, engine, micro_batch),
        ),
        train_dataset=Dataset.from_list(list(train)),
        eval_dataset=Dataset.from_list(list(dev)),
    )
    steps = loop.evaluation_steps if evaluate_early else loop.even_steps
    # the settings of the controls, which do not start from the base, are those of `config.Continued`
    part = "sft" if evaluate_early else "continued"
    return loop.finish(trainer, steps(settings.steps, settings.evaluations), part)


def dpo_trainer(
    model: PreTrainedModel,
    reference_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    settings: config.DPO,
    seed: int,
    folder: Path,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
) -> DPOTrainer:
    """Return TRL's trainer on preference pairs, ready to train.

    Raises:
        ValueError: there is no pair.
    """
    if not train:
        raise ValueError(
            "there is no preference pair to train on. Chapter 3 shows where pairs get lost: sample more "
            "(pairs__samples, pairs__prompts), warmer (pairs__temperature), from prompts that SFT has not seen, or "
            "keep smaller differences (pairs__minimum_margin)."
        )
    steps = settings.epochs * -(-len(train) // settings.batch_size)
    rows = [(p.prompt, text) for p in (*train, *held_out) for text in (p.chosen, p.rejected)]
    longest = max(lengths([{"prompt": asked, "completion": text} for asked, text in rows], tokenizer))
    scored = max(lengths([{"text": text} for _, text in rows], tokenizer))
    micro_batch = loop.micro_batch(settings, model, longest, engine, lora, texts=2, scored=scored)
    trainer = loop.measured(
        DPOTrainer, evaluate_loss=bool(held_out)
    )(
        model=model,
        ref_model=reference_model,
        processing_class=tokenizer,
        peft_config=loop.adapters(lora),
        args=loop.arguments(
            DPOConfig,
            beta=settings.beta,
            loss_type="sigmoid",
            max_length=None,  # both completions end in EOS, and are not cut
            precompute_ref_log_probs=True,
            include_num_input_tokens_seen="non_padding",
            eval_on_start=True,
            **loop.shared_arguments(settings, steps, seed, folder, engine, micro_batch),
        ),
        train_dataset=_preferences(train, folder / "checkpoints" / "pairs"),
        eval_dataset=_preferences(held_out or train[:1], folder / "checkpoints" / "held-out"),
    )
    return loop.finish(trainer, loop.even_steps(steps, settings.evaluations), "dpo")


def grpo_trainer(
    model: PreTrainedModel,
    reference_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    settings: config.GRPO,
    prompt: config.Prompt,
    decoding: config.Decoding,
    seed: int,
    folder: Path,
    engine: config.Engine = ENGINE,
    lora: config.LoRA = NO_LORA,
) -> GRPOTrainer:
    """Return TRL's trainer on prompts and a reward, ready to train.

    Raises:
        ValueError: the samples of a generation cannot be divided into groups, or there are too few prompts for one.
    """
    plan = grpo_plan(settings)
    _check_enough(train, plan)
    objective = rewards.objective(settings.reward)
    rows = grpo_rows(train, prompt)
    longest = max(lengths([{"text": row["prompt"]} for row in rows], tokenizer)) + decoding.max_new_tokens
    later = 1 if settings.beta and not lora.rank else 0  # TRL's own reference, beside that of the KL divergence here
    micro_batch = loop.micro_batch(
        settings, model, longest, engine, lora, scored=decoding.max_new_tokens, frozen=1 + later, later=later
    )
    shared = loop.shared_arguments(settings, settings.steps, seed, folder, engine, micro_batch)
    trainer = loop.measured(
        _Watched, evaluate_loss=False
    )(
        model=model,
        processing_class=tokenizer,
        peft_config=loop.adapters(lora),
        reward_funcs=[rewards.for_trl(reward) for reward in objective.rewards],
        args=loop.arguments(
            GRPOConfig,
            reward_weights=list(objective.weights),
            multi_objective_aggregation=settings.multi_objective,
            num_generations=settings.group_size,
            steps_per_generation=shared["gradient_accumulation_steps"] * settings.updates_per_generation,
            max_completion_length=decoding.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            beta=settings.beta,
            epsilon=settings.epsilon,
            loss_type=settings.loss,
            scale_rewards=settings.scale_rewards,
            include_num_input_tokens_seen="no",  # the trainer counts them itself
            **vllm_sampling.arguments(engine, longest),
            **shared | {"per_device_eval_batch_size": settings.group_size},
        ),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]),  # not used: what is evaluated is dev BLEU
    )
    add_fused_lm_head(reference_model, temperature=settings.temperature)
    use_plain_head(reference_model, settings.temperature)
    trainer.kl_reference, trainer.engine = reference_model.eval(), engine
    # a training that is resumed draws new samples, so it may be cut off only where it would have drawn new ones anyway
    checkpoints = loop.even_steps(settings.steps, settings.evaluations, settings.updates_per_generation)
    return loop.finish(trainer, checkpoints, "grpo", settings.temperature)


class _Watched(GRPOTrainer):
    """TRL's trainer; it logs the KL divergence even where the loss does not contain it, and keeps the last groups.

    Both models are taken at the temperature that samples are drawn at. Where samples are older than the policy, or
    `top_p` cuts their distribution, they are not the policy's own, and the estimate is only roughly its divergence.
    """

    kl_reference: PreTrainedModel
    engine: config.Engine
    groups_file: Path | None = None
    shuffle_rewards: bool = False

    def _generate(self, *args: Any) -> Any:
        # around all tokens, or the weights would be converted for each anew
        with models.autocast(self.engine), models.converted_once(self.model):
            try:
                return super()._generate(*args)
            except RuntimeError as error:
                if not any(words in str(error) for words in NO_PROBABILITIES):
                    raise
                fault = "the probabilities that samples are drawn with are no finite numbers"
                raise store.Spoiled(health.broken(fault, self.args, self.state.global_step, "grpo")) from error

    def _calculate_rewards(self, *args: Any) -> Any:
        rewarded = super()._calculate_rewards(*args)  # (samples of all processes, rewards), group by group
        if not self.shuffle_rewards:
            return rewarded
        # drawn from seed and update alone, so that a resumed training deals as an uninterrupted one
        order = torch.Generator().manual_seed(self.args.seed + 1000 * self.state.global_step)
        groups = rewarded.view(-1, self.num_generations, rewarded.shape[-1])
        dealt = torch.rand(groups.shape[:2], generator=order).argsort(dim=1).to(rewarded.device)
        return groups.gather(1, dealt.unsqueeze(-1).expand_as(groups)).view_as(rewarded)

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
            with torch.no_grad(), models.autocast(self.engine):
                asked = self._get_per_token_logps_and_entropies(self.kl_reference, ids, attended, mask.shape[1])
                difference = asked[0] - self._policy_logps
                # an estimate from the policy's own samples that is never negative, as TRL and the GRPO paper have it
                divergence = difference.exp() - difference - 1
                mean = (divergence * mask).sum() / mask.sum().clamp(min=1)
            self._metrics["train"]["kl"].append(self.accelerator.gather(mean).mean().item())
        return loss

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)
        if self.groups_file and processes.is_main():
            columns = {"prompt": self._logs["prompt"], "completion": self._logs["completion"]}
            columns |= {f"reward {name}": values for name, values in self._logs["rewards"].items()}
            columns["advantage"] = self._logs["advantages"]
            pd.DataFrame(columns).to_json(self.groups_file, orient="records", lines=True, force_ascii=False)


# ---- what they are trained on


def demonstrations(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the annotator demonstrated: exactly these two columns.

    A `text` column beside them would make TRL put the EOS there, and the model would never learn to stop.
    """
    return [_row(prompt, example.source, example.demonstration) for example in examples]


def references(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return prompt and completion of what the sentences should be."""
    return [_row(prompt, example.source, example.reference) for example in examples]


def _row(prompt: config.Prompt, source: str, target: str) -> dict[str, str]:
    return {"prompt": prompts.render(prompt, source), "completion": prompts.completion(target)}


def fitting(
    rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[dict[str, str]]:
    """Return the rows whose prompt, completion and EOS fit into `max_length` tokens.

    Raises:
        ValueError: none does.
    """
    kept = [row for row, length in zip(rows, lengths(rows, tokenizer), strict=True) if length <= max_length]
    if not kept:
        raise ValueError(
            f"none of the {len(rows)} rows fits into {max_length} tokens, prompt and completion together. "
            "Raise sft__max_length, or shorten the texts."
        )
    return kept


def lengths(rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens of each row, prompt, completion and EOS, or what stands in a column `text` alone."""
    texts = [row["prompt"] + row["completion"] if "prompt" in row else row["text"] for row in rows]
    return [len(ids) + 1 for ids in tokenizer(texts)["input_ids"]]


def _preferences(pairs: Sequence[PreferencePair], folder: Path) -> Dataset:
    """Return the pairs with the columns that TRL reads.

    TRL keeps the reference's log-probabilities beside the dataset, so that several processes need one that lies on a
    disk: in `folder`, which is removed with the checkpoints.
    """
    rows = Dataset.from_list([{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs])
    if processes.count() == 1:
        return rows
    shared = processes.from_main(lambda: folder)
    if processes.is_main():
        shutil.rmtree(shared, ignore_errors=True)  # of a training that was cut off
        rows.save_to_disk(shared)
    processes.wait()
    return Dataset.load_from_disk(shared)


def grpo_rows(examples: Sequence[Example], prompt: config.Prompt) -> list[dict[str, str]]:
    """Return the prompts, and the columns that the reward is computed from."""
    return [
        {"prompt": prompts.render(prompt, e.source), "reference": e.reference, "source": e.source} for e in examples
    ]


# ---- the arithmetic of GRPO's batches


def grpo_plan(settings: config.GRPO) -> dict[str, int]:
    """Return how many prompts and samples an update, a generation and the whole training take.

    Raises:
        ValueError: the samples of a generation are no multiple of the group size, or a group has one sample.
    """
    generation = settings.batch_size * settings.updates_per_generation  # samples
    if settings.group_size < 2:
        raise ValueError(f"grpo__group_size is {settings.group_size}: a group needs two samples to compare.")
    if generation % settings.group_size:
        raise ValueError(
            f"a generation has {generation} samples (batch_size {settings.batch_size} times updates_per_generation "
            f"{settings.updates_per_generation}), which is no multiple of grpo__group_size, {settings.group_size}."
        )
    generations = -(-settings.steps // settings.updates_per_generation)
    return {
        "updates": settings.steps,
        "samples_an_update": settings.batch_size,
        "prompts_a_generation": generation // settings.group_size,
        "updates_a_generation": settings.updates_per_generation,
        "prompts_in_all": generations * generation // settings.group_size,
        "samples_in_all": generations * generation,
    }


def plan_in_words(plan: dict[str, int]) -> str:
    """Return the arithmetic of the batches as a sentence."""
    asked, use = plan["prompts_a_generation"], plan["updates_a_generation"]
    return (
        f"{plan['updates']} updates of {plan['samples_an_update']} samples; each generation has {asked} "
        f"prompt{'s' * (asked > 1)} and lasts {use} update{'s' * (use > 1)}, so that every sample is used "
        f"once{', the later ones by a policy that has moved on' * (use > 1)}; {plan['prompts_in_all']:,} prompts and "
        f"{plan['samples_in_all']:,} samples in all"
    )


def _check_enough(train: Sequence[Example], plan: dict[str, int]) -> None:
    if len(train) < plan["prompts_a_generation"]:
        raise ValueError(
            f"a generation takes {plan['prompts_a_generation']} prompts, and there are only {len(train)}. Lower "
            "grpo__batch_size, raise grpo__group_size, or give more (data__preference_rows)."
        )


def _grpo_cost(
    trainer: GRPOTrainer,
    train: Sequence[Example],
    settings: config.GRPO,
    prompt: config.Prompt,
    decoding: config.Decoding,
    engine: config.Engine,
) -> tuple[float, int]:
    """Estimate seconds and tokens of the whole training from one generation, and from learning from a part of it."""
    plan = grpo_plan(settings)
    asked = [prompts.render(prompt, example.source) for example in train[: plan["prompts_a_generation"]]]
    sampling = config.Decoding(
        settings.temperature, settings.top_p, settings.group_size, decoding.max_new_tokens, decoding.batch_tokens
    )
    start = time.perf_counter()
    written = decode(trainer.model, trainer.processing_class, asked, sampling, engine=engine)
    generating = loop.seconds_since(start)
    texts = [ask + sample.text for ask, group in zip(asked, written, strict=True) for sample in group]
    lengths = [len(ids) for ids in trainer.processing_class(texts)["input_ids"]]
    size = 1 if processes.sharded() else trainer.args.train_batch_size  # see `loop.seconds_per_update`
    micro_batch = texts[:size]
    batch = trainer.processing_class(micro_batch, padding=True, return_tensors="pt").to(trainer.model.device)
    trainer.model.train()  # else nothing is checkpointed
    start = time.perf_counter()
    with models.autocast(engine):
        loss = trainer.model(**batch, labels=batch["input_ids"], fused_lm_head=True).loss
    loss.backward()
    updates = trainer.args.train_batch_size / size * trainer.args.gradient_accumulation_steps
    learning = loop.seconds_since(start) * updates
    trainer.model.zero_grad()
    seconds = settings.steps * (generating / settings.updates_per_generation + learning)
    return seconds, round(plan["samples_in_all"] * sum(lengths) / len(lengths))
