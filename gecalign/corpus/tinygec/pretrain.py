"""The recipe of the tiny base: a Llama of about one million parameters, pretrained on clean sentences.

    python -m gecalign.corpus.tinygec.pretrain --output FOLDER

It stands in for a pretrained model, so it must know what one knows: how sentences go on, and how to
repeat what it has just read. The second skill does not come from sentences that stand alone, so a part
of the documents repeats itself, with made-up words among the known ones: what has to be copied cannot be
guessed then. No document shows an error beside its correction.

About 35 minutes on two cores. Interrupted, it goes on from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import typer
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from gecalign.config import Prompt
from gecalign.corpus.tinygec.chance import choose, happens
from gecalign.corpus.tinygec.grammar.sentences import sentence
from gecalign.corpus.tinygec.lexicon.tokens import detokenize
from gecalign.runtime import store

END = "<|endoftext|>"  # SmolLM's name for it
PAD = "<|pad|>"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the base model."""

    vocabulary: int = 2048
    tokenizer_sentences: int = 40_000  # what its tokenizer is trained on
    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    intermediate_size: int = 384
    context: int = 256  # tokens
    documents: int = 400_000
    echo_share: float = 0.7  # of the documents repeat themselves
    made_up_share: float = 0.15  # of the words in a document that repeats itself are made up
    block: int = 128  # tokens a training row
    batch_size: int = 64  # rows an update
    steps: int = 2200  # updates
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    seed: int = 0


def text_of(rng: Random) -> str:
    """Return one clean sentence as text."""
    return detokenize(sentence(rng))


def document(rng: Random, recipe: Recipe) -> str:
    """Return one document: a few sentences, or a sentence or two that are repeated word by word."""
    if not happens(rng, recipe.echo_share):
        return " ".join(text_of(rng) for _ in range(choose(rng, (1, 2, 3))))
    text = " ".join(text_of(rng) for _ in range(choose(rng, (1, 2), (4, 1))))
    words = [made_up(rng) if happens(rng, recipe.made_up_share) else word for word in text.split(" ")]
    return choose(rng, ("\n", " ", "\n\n")).join([" ".join(words)] * choose(rng, (2, 3), (4, 1)))


def made_up(rng: Random) -> str:
    """Return a string of letters that no lexicon knows."""
    letters = "".join(choose(rng, "abcdefghijklmnopqrstuvwxyz") for _ in range(choose(rng, range(1, 9))))
    return letters.capitalize() if happens(rng, 0.1) else letters


def documents(recipe: Recipe) -> Iterator[str]:
    """Yield the training documents."""
    for number in range(recipe.documents):
        yield document(Random(f"{recipe.seed}/pretrain/{number}"), recipe)


def beginning_digest(recipe: Recipe) -> str:
    """Return the digest of the first thousand documents: quick to make again, to see whether the grammar changed."""
    return sha256("".join(islice(documents(recipe), 1000)).encode()).hexdigest()[:12]


def train_tokenizer(recipe: Recipe, folder: Path) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on clean sentences and on the words of the prompt; save and return it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (f" {text_of(Random(f'{recipe.seed}/tokenizer/{number}'))}" for number in range(recipe.tokenizer_sentences))
    prompts = [Prompt().template.replace("{source}", "")] * 1000
    tokenizer.train_from_iterator([*texts, *prompts], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=PAD,
        model_max_length=recipe.context,
    )
    wrapped.save_pretrained(folder)
    return wrapped


def blocks(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> tuple[Dataset, str]:
    """Return the documents as training rows of `recipe.block` tokens, and the digest of their text."""
    digest, chunks = sha256(), []
    for batch in batched(documents(recipe), 1000):
        texts = [text + END for text in batch]
        digest.update("".join(texts).encode())
        chunks.append(np.concatenate([np.array(ids, np.int16) for ids in tokenizer(texts, verbose=False)["input_ids"]]))
    ids = np.concatenate(chunks)
    rows = ids[: len(ids) // recipe.block * recipe.block].reshape(-1, recipe.block)  # (rows, block)
    return Dataset.from_dict({"input_ids": rows}), digest.hexdigest()[:12]


def batched(texts: Iterator[str], size: int) -> Iterator[list[str]]:
    """Yield lists of `size` texts, the last one shorter."""
    while batch := list(islice(texts, size)):
        yield batch


def initial_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the untrained model."""
    set_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.intermediate_size,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def pretrain(recipe: Recipe, folder: Path) -> None:
    """Make the base model in `folder`, with its card. Resumes from `folder/checkpoints`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(recipe, folder)
    rows, digest = blocks(recipe, tokenizer)
    checkpoints = folder / "checkpoints"
    trainer = Trainer(
        model=initial_model(recipe, tokenizer),
        train_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        args=TrainingArguments(
            output_dir=str(checkpoints),
            seed=recipe.seed,
            max_steps=recipe.steps,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            warmup_steps=recipe.warmup_steps,
            weight_decay=recipe.weight_decay,
            adam_beta2=0.98,
            lr_scheduler_type="cosine",
            logging_steps=max(1, recipe.steps // 44),
            save_steps=max(1, recipe.steps // 11),
            save_total_limit=1,
            report_to="none",
            bf16=False,
        ),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.exists() else None)
    trainer.model.save_pretrained(folder)
    write_card(recipe, folder, digest, rows, trainer)


def write_card(recipe: Recipe, folder: Path, digest: str, rows: Dataset, trainer: Trainer) -> None:
    """Write `recipe.json`, what made the model, and `README.md`, its card."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    facts = {
        "recipe": asdict(recipe),
        "data_digest": digest,
        "beginning_digest": beginning_digest(recipe),
        "corpus_tokens": len(rows) * recipe.block,
        "tokens_trained_on": recipe.steps * recipe.batch_size * recipe.block,
        "parameters": trainer.model.num_parameters(),
        "final_loss": losses[-1],
        **store.provenance(),
    }
    store.write_text(folder / "recipe.json", json.dumps(facts, indent=1) + "\n")
    lines = [
        "---", "license: apache-2.0", "language: en", "---", "# The tiny base of gecalign", "",
        "A Llama that stands in for a pretrained language model where none can be downloaded. It has read clean,",
        "generated English sentences (TinyGEC), some of them repeated, and no corrections.",
        "", "| | |", "|---|---|",
        *(f"| {name.replace('_', ' ')} | {facts[name]} |" for name in
          ("parameters", "corpus_tokens", "tokens_trained_on", "data_digest", "final_loss")),
        *(f"| {name.replace('_', ' ')} | {value} |" for name, value in asdict(recipe).items()),
        "", "Rebuild: `python -m gecalign.corpus.tinygec.pretrain --output FOLDER`.", "",
    ]  # fmt: skip
    store.write_text(folder / "README.md", "\n".join(lines))


def main(
    output: Annotated[Path, typer.Option(help="where the model is written")],
    steps: Annotated[int, typer.Option(help="updates")] = Recipe().steps,
) -> None:
    """Pretrain the tiny base."""
    pretrain(Recipe(steps=steps), output)


if __name__ == "__main__":
    typer.run(main)
