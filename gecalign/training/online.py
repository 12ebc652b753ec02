"""What methods share that learn from their own samples and a reward: rows, trainer, facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from gecalign import config
from gecalign.corpus.examples import Example
from gecalign.models.lm_head import use_plain_head
from gecalign.models.loading import Loaded
from gecalign.models.memory import Rows
from gecalign.preferences import rewards
from gecalign.training import arguments, estimates, groups, loop, vllm_sampling
from gecalign.training.rows import lengths, prompted
from gecalign.training.setup import Run
from gecalign.training.watched import watched


class Method(NamedTuple):
    """A method: TRL's trainer and its arguments, and those of them that other methods do not have."""

    trainer: type
    arguments: type
    own: Mapping[str, Any]


def trainer(
    method: Method,
    start: Loaded,
    reference: PreTrainedModel,
    examples: Sequence[Example],
    settings: config.Online,
    run: Run,
) -> Any:
    """Return TRL's trainer on prompts and a reward, ready to train.

    Args:
        reference: what the KL divergence in the log is measured from where `beta` is 0. With `beta` above 0
            it is what is trained for, too, and TRL loads the reference from where the model was loaded from.

    Raises:
        ValueError: the samples of a generation cannot be divided into groups, or there are too few prompts for one.
    """
    groups.check_enough(examples, settings)
    model, tokenizer = start
    objective, new = rewards.objective(settings.reward), run.asking.decoding.max_new_tokens
    rows = prompted(examples, run.asking.prompt)
    longest = max(lengths([{"text": row["prompt"]} for row in rows], tokenizer)) + new
    later = 1 if settings.beta and not run.lora.rank else 0  # TRL's own reference, beside that of the KL divergence
    fits = arguments.micro_batch(settings, model, run, Rows(longest, scored=new), frozen=1 + later, later=later)
    shared = arguments.shared(settings, settings.steps, run, fits)
    made = loop.measured(
        watched(method.trainer), evaluate_loss=False
    )(
        model=model,
        processing_class=tokenizer,
        peft_config=arguments.adapters(run.lora),
        reward_funcs=[rewards.for_trl(reward) for reward in objective.rewards],
        args=arguments.of(
            method.arguments,
            reward_weights=list(objective.weights),
            num_generations=settings.group_size,
            steps_per_generation=shared["gradient_accumulation_steps"] * settings.updates_per_generation,
            max_completion_length=new,
            temperature=settings.temperature,
            top_p=settings.top_p,
            beta=settings.beta,
            epsilon=settings.epsilon,
            include_num_input_tokens_seen="no",  # the trainer counts them itself
            **method.own,
            **vllm_sampling.arguments(run.engine, longest),
            **shared | {"per_device_eval_batch_size": settings.group_size},
        ),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]),  # not used: what is evaluated is dev BLEU
    )
    add_fused_lm_head(reference, temperature=settings.temperature)
    for frozen in filter(None, (reference, made.ref_model)):
        use_plain_head(frozen, settings.temperature)
    made.kl_reference, made.engine = reference.eval(), run.engine
    # a training that is resumed draws new samples, so it may be cut off only where it would have drawn new ones anyway
    checkpoints = arguments.even_steps(settings.steps, settings.evaluations, settings.updates_per_generation)
    return loop.finish(made, run, checkpoints, config.part_of(settings), settings.temperature)


def trained(made: Any, examples: Sequence[Example], settings: config.Online, run: Run) -> dict[str, Any]:
    """Train by what `trainer` has made, and return the facts.

    Completions, rewards and advantages of the last generation are left in `groups.jsonl`.
    """
    plan = groups.plan(settings)
    seconds, tokens = estimates.of_groups(made, examples, settings, run.asking)
    estimates.announce(config.part_of(settings), seconds, f"{groups.in_words(plan)}, about {tokens:,} tokens; ")
    made.groups_file = run.folder / "groups.jsonl"
    facts = loop.run(made, run.folder)
    if made.use_vllm:
        vllm_sampling.release(made.vllm_generation)
    mean_length = pd.read_csv(run.folder / "log.csv")["completions/mean_length"].mean()  # tokens, EOS included
    return {**facts, **plan, "sampled_tokens": round(plan["samples_in_all"] * mean_length)}
