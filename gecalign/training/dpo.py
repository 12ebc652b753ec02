"""Direct preference optimization: of two completions one is preferred. Explained in chapter 4."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel
from trl import DPOConfig, DPOTrainer

from gecalign import config
from gecalign.models.lm_head import use_plain_head
from gecalign.models.loading import Loaded
from gecalign.models.memory import Rows
from gecalign.preferences.pairs import PreferencePair
from gecalign.runtime import processes
from gecalign.training import arguments, estimates, loop
from gecalign.training.rows import lengths
from gecalign.training.setup import Run


def train(
    start: Loaded,
    reference: PreTrainedModel,
    pairs: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    settings: config.DPO,
    run: Run,
) -> dict[str, Any]:
    """Train a model to prefer the chosen completion of each pair to the rejected one; return the facts.

    The loss is -log sigmoid(beta * ((log pi(chosen) - log ref(chosen)) - (log pi(rejected) - log ref(rejected)))),
    log-probabilities in nats, summed over the tokens of a completion and its EOS (Rafailov et al. 2023, equation
    7, https://arxiv.org/abs/2305.18290).

    Args:
        start: the model and its tokenizer. The model is trained in place; the best checkpoint is what is kept.
        reference: what the model must not stray from; its log-probabilities are computed once.
        held_out: pairs whose loss and accuracy are only measured.
    """
    made = trainer(start, reference, pairs, held_out, settings, run)
    estimates.announce("dpo", made.args.max_steps * estimates.seconds_per_update(made))
    return {**loop.run(made, run.folder), "pairs": len(pairs), "held_out": len(held_out)}


def trainer(
    start: Loaded,
    reference: PreTrainedModel,
    pairs: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    settings: config.DPO,
    run: Run,
) -> DPOTrainer:
    """Return TRL's trainer on preference pairs, ready to train.

    Raises:
        ValueError: there is no pair.
    """
    if not pairs:
        raise ValueError(
            "there is no preference pair to train on. Chapter 3 shows where pairs get lost: sample more "
            "(pairs__samples, pairs__prompts), warmer (pairs__temperature), from prompts that SFT has not seen, or "
            "keep smaller differences (pairs__minimum_margin)."
        )
    model, tokenizer = start
    steps = settings.epochs * -(-len(pairs) // settings.batch_size)
    fits = arguments.micro_batch(settings, model, run, _sizes([*pairs, *held_out], tokenizer))
    made = loop.measured(
        _Trainer, evaluate_loss=bool(held_out)
    )(
        model=model,
        ref_model=reference,
        processing_class=tokenizer,
        peft_config=arguments.adapters(run.lora),
        args=arguments.of(
            DPOConfig,
            beta=settings.beta,
            loss_type="sigmoid",
            max_length=None,  # both completions end in EOS, and are not cut
            precompute_ref_log_probs=True,
            include_num_input_tokens_seen="non_padding",
            eval_on_start=True,
            **arguments.shared(settings, steps, run, fits),
        ),
        train_dataset=_dataset(pairs, run.folder / "checkpoints" / "pairs"),
        eval_dataset=_dataset(held_out or pairs[:1], run.folder / "checkpoints" / "held-out"),
    )
    return loop.finish(made, run, arguments.even_steps(steps, settings.evaluations), "dpo")


class _Trainer(DPOTrainer):
    """TRL's trainer, which asks the reference about all pairs while it is being made, with our head."""

    def _precompute_ref_logps(self, *args: Any) -> Dataset:
        use_plain_head(loop.without_adapters(self.ref_model or self.model))
        return super()._precompute_ref_logps(*args)


def _sizes(pairs: Sequence[PreferencePair], tokenizer: Any) -> Rows:
    rows = [(p.prompt, text) for p in pairs for text in (p.chosen, p.rejected)]
    longest = max(lengths([{"prompt": asked, "completion": text} for asked, text in rows], tokenizer))
    return Rows(longest, texts=2, scored=max(lengths([{"text": text} for _, text in rows], tokenizer)))


def _dataset(pairs: Sequence[PreferencePair], folder: Path) -> Dataset:
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
