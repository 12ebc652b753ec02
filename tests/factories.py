"""Small things that tests are made of: a tiny random model, and corpora in CoEdIT's schema.

Everything is drawn from fixed seeds, so that two tests that ask for the same get the same.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

from gecalign.config import Profile, profile
from gecalign.corpus.examples import Example

SUBJECTS = ("she", "he", "the cat", "my friend", "Tom", "the dog")
VERBS = (("goes", "go"), ("eats", "eat"), ("sees", "see"), ("likes", "like"))
OBJECTS = ("home", "an apple", "the bird", "music", "a red car")


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return distinct (source, reference) pairs; in most sources the verb does not agree with its subject."""
    rng = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        right, wrong = rng.choice(VERBS)
        start, end = rng.choice(SUBJECTS), f"{rng.choice(OBJECTS)} {rng.randint(0, 99999)}."
        found[f"{start} {wrong if rng.random() < 0.7 else right} {end}"] = f"{start} {right} {end}"
    return list(found.items())


def examples(count: int, seed: int = 0) -> list[Example]:
    return [Example(str(i), source, target, target) for i, (source, target) in enumerate(pairs(count, seed))]


def coedit_rows(count: int, seed: int = 0, instruction: str = "Fix grammar") -> list[dict[str, str]]:
    return [
        {"_id": str(i), "task": "gec", "src": f"{instruction}: {source}", "tgt": reference}
        for i, (source, reference) in enumerate(pairs(count, seed))
    ]


def write_jsonl(path: Path, rows: Sequence[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[dict]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Sequence[dict]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def save_tokenizer(folder: Path, **special: str | None):
    """Save a byte-level BPE tokenizer of 330 tokens; `special` overrides its special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for pair in pairs(200) for text in pair], trainer)
    tokens = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "pad_token": "<|pad|>"} | special
    chosen = {name: token for name, token in tokens.items() if token is not None}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=256, **chosen)
    wrapped.save_pretrained(folder)
    return wrapped


def save_model(folder: Path, seed: int = 0, vocabulary: int = 330) -> None:
    """Save a random Llama of about 35,000 parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, intermediate_size=64, max_position_embeddings=256, tie_word_embeddings=True,
        initializer_range=0.2, bos_token_id=0, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)


def base_folder(folder: Path, seed: int = 0) -> Path:
    """Save model and tokenizer into one folder, as the hub has them."""
    save_model(folder, seed)
    save_tokenizer(folder)
    return folder


def local_profile(base: Path, corpus: Path, **changes: object) -> Profile:
    """Return a profile that runs in seconds and needs neither the hub nor the shipped base."""
    small: dict[str, object] = {
        "data__source": str(corpus), "data__task": "gec", "data__train_rows": None, "data__dev_rows": 8,
        "data__test_rows": 12, "data__preference_rows": 8, "model__name": str(base), "decoding__max_new_tokens": 8,
        "sft__steps": 4, "sft__batch_size": 8, "sft__evaluations": 2, "sft__learning_rate": 1e-2,
    }  # fmt: skip
    return profile("smoke").variant("local", **(small | changes))


def preference_profile(base: Path, corpus: Path, **changes: object) -> Profile:
    """Return a profile whose SFT learns enough for its samples to end and differ, so that pairs and groups exist."""
    small: dict[str, object] = {
        "decoding__max_new_tokens": 24, "sft__steps": 60, "sft__warmup_steps": 0, "data__preference_rows": 16,
        "continued__evaluations": 1,
        "pairs__temperature": 1.0, "pairs__count": 8, "pairs__held_out": 4, "pairs__prompts": None,
        "dpo__batch_size": 4, "dpo__epochs": 1, "dpo__evaluations": 1, "dpo__warmup_steps": 0,
        "grpo__steps": 8, "grpo__batch_size": 16, "grpo__group_size": 4, "grpo__evaluations": 2,
        "grpo__warmup_steps": 0,
        "reward_check__prompts": 6, "reward_check__samples": 4,
    }  # fmt: skip
    return local_profile(base, corpus, **(small | changes))
