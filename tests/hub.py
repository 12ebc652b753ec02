"""The hub's own formats, small: SmolLM and Llama folders, a data set laid out as CoEdIT's, and a hub that serves them.

Names, fields and special tokens are those of the real repositories; only sizes and texts are ours.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import factories
import pytest

from gecalign.corpus import data

END = "<|endoftext|>"
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
NUMBERS = "In 2019 she go to school with 1,234 others , did n't she ?"  # digits, and blanks before punctuation

# What differs between tokenizers: special tokens, whether a BOS goes before every text or an EOS after it, and the
# class that tokenizer_config.json names.
TOKENIZERS: Mapping[str, dict] = {
    "smollm": {"eos": END, "bos": END, "unk": END, "class": "GPT2Tokenizer"},
    "chat template": {"eos": END, "bos": END, "unk": END, "class": "GPT2Tokenizer", "chat": CHAT_TEMPLATE},
    "its own pad": {"eos": END, "bos": END, "pad": "<|pad|>", "class": "GPT2Tokenizer"},
    "pad is eos": {"eos": END, "bos": END, "pad": END, "class": "GPT2Tokenizer"},
    "no bos": {"eos": END, "class": "PreTrainedTokenizerFast"},
    "llama 3": {
        "eos": "<|end_of_text|>", "bos": "<|begin_of_text|>", "before": "<|begin_of_text|>",
        "class": "PreTrainedTokenizerFast",
    },
    "no eos": {"bos": END, "class": "PreTrainedTokenizerFast"},
    "eos after every text": {"eos": END, "bos": END, "after": END, "class": "PreTrainedTokenizerFast"},
}  # fmt: skip


def save_tokenizer(folder: Path, kind: str = "smollm") -> int:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json; return the size of the vocabulary."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    spec = TOKENIZERS[kind]
    special = list(dict.fromkeys([END, *(spec[name] for name in ("bos", "eos", "pad") if name in spec)]))
    tokenizer = Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = (
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
        if kind == "llama 3"
        else pre_tokenizers.Digits(individual_digits=True)
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=[*special, "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    # learnt without splitting digits, so that the vocabulary has " 2019", and whoever forgets to split them gives
    # himself away
    tokenizer.pre_tokenizer = whole
    tokenizer.train_from_iterator([NUMBERS, *(text for pair in factories.pairs(300) for text in pair)] * 3, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, whole])
    tokenizer.decoder = decoders.ByteLevel()
    if around := {spec[side] for side in ("before", "after") if side in spec}:
        single = f"{spec.get('before', '')} $A {spec.get('after', '')}".strip()
        numbered = [(token, tokenizer.token_to_id(token)) for token in sorted(around)]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=numbered)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": spec[name] for name in ("bos", "eos", "unk", "pad") if name in spec}
    settings = {
        "add_prefix_space": False, **named, "clean_up_tokenization_spaces": kind == "llama 3",
        "model_max_length": 2048, "tokenizer_class": spec["class"], "vocab_size": tokenizer.get_vocab_size(),
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                "special": True,
            }
            for token in special
        },
    }  # fmt: skip
    if "chat" in spec:
        settings["chat_template"] = spec["chat"]
    _write_json(folder / "tokenizer_config.json", settings)
    _write_json(folder / "special_tokens_map.json", named)
    return tokenizer.get_vocab_size()


def smollm_config(vocabulary: int, hidden: int = 36, intermediate: int = 96) -> dict:
    """Return config.json as HuggingFaceTB/SmolLM-135M has it; there with 49152, 576 and 1536."""
    return {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 0,
        "eos_token_id": 0, "hidden_act": "silu", "hidden_size": hidden, "initializer_range": 0.02,
        "intermediate_size": intermediate, "max_position_embeddings": 2048, "mlp_bias": False, "model_type": "llama",
        "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
        "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "transformers_version": "4.41.2", "use_cache": True, "vocab_size": vocabulary,
    }  # fmt: skip


def save_smollm(folder: Path, kind: str = "smollm", vocabulary: int | None = None, **sizes: int) -> Path:
    """Write a folder as HuggingFaceTB/SmolLM-135M is: 30 layers, 9 and 3 heads, 16-bit weights, our sizes.

    Its generation_config.json has settings that would change what we decode.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = save_tokenizer(folder, kind)
    config = smollm_config(vocabulary or size, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig.from_dict(config))
        with torch.no_grad():  # numbers with which 30 narrow layers learn within a few updates
            for name, weight in model.named_parameters():
                if "embed" in name:
                    weight.normal_(0, 1.8 * config["hidden_size"] ** -0.5)
                elif "o_proj" in name or "down_proj" in name:
                    weight.normal_(0, 0.02)
                elif "proj" in name:
                    weight.normal_(0, config["hidden_size"] ** -0.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    _write_json(folder / "config.json", config)
    leaking = {"repetition_penalty": 5.0, "no_repeat_ngram_size": 2, "do_sample": True, "temperature": 0.6, "top_k": 1}
    special = {"bos_token_id": 0, "eos_token_id": 0, "transformers_version": "4.41.2"}
    _write_json(folder / "generation_config.json", {"_from_model_config": True, **special, **leaking})
    return folder


# ---- the data set

OTHER_TASKS = ("neutralize", "coherence", "paraphrase", "simplification", "formality")
CARD = """---
license: apache-2.0
task_categories:
- text-generation
language:
- en
size_categories:
- 10K<n<100K
pretty_name: coedit
---
# Dataset Card for CoEdIT
"""


def coedit(count: int = 81) -> dict[str, list[dict[str, str]]]:
    """Return the rows of both splits, numbered from 1 in each: GEC first, then the other tasks.

    Beside `count` ordinary GEC rows in train, there are: 3 pairs for the second time, with another instruction; 2 whose
    sources contain ": "; 2 that are too long; 4 that stand in validation as well.
    """
    pairs = factories.pairs(count + 30)
    ordinary, rest = pairs[:count], pairs[count:]
    shared, new = ordinary[:4], rest[:20]
    colons = [("She say one thing: go home.", "She says one thing: go home."), ("Note: he go.", "Note: he goes.")]
    long = [(f"She go {'far ' * 300}.", f"She goes {'far ' * 300}."), ("She go.", f"She goes {'far ' * 300}.")]
    train = [*ordinary, *colons, *long, *ordinary[-3:]]
    return {"train": _rows(train, 5, 7), "validation": _rows([*shared, *new], 2, 0)}


def _rows(pairs: list[tuple[str, str]], others: int, first: int) -> list[dict[str, str]]:
    names = data.INSTRUCTIONS
    gec = [("gec", f"{names[(first + i) % len(names)]}: {s}", t) for i, (s, t) in enumerate(pairs)]
    other = [
        (task, f"Rewrite this, please: {s}", t) for task in OTHER_TASKS for s, t in factories.pairs(others, seed=7)
    ]
    return [{"_id": str(i), "task": t, "src": s, "tgt": r} for i, (t, s, r) in enumerate([*gec, *other], start=1)]


def save_coedit(folder: Path, rows: Mapping[str, list[dict[str, str]]], write=factories.write_jsonl) -> Path:
    """Write a folder as grammarly/coedit is: a card, and a file a split."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    for split, of_split in rows.items():
        write(folder / f"{split}.{write.__name__.removeprefix('write_')}", of_split)
    return folder


# ---- the hub


@contextmanager
def serving(
    repositories: Mapping[tuple[str, str], Path], cache: Path, gated: tuple[str, ...] = ()
) -> Iterator[list[str]]:
    """Be the hub, with an empty cache: repositories by kind and name, such as ("datasets", "grammarly/coedit").

    Each repository is a folder of folders, one a revision. Gives the requests that came, as they come.
    """
    requests: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def answer(self, body: bool) -> None:
            requests.append(self.path)
            api = re.fullmatch(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)/tree/(\w+)(\?.*)?", self.path)
            file = re.fullmatch(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/(\w+)/([\w./-]+)", self.path)
            if not (api or file):
                return self.refuse(404, "EntryNotFound")
            kind = api[1] if api else "datasets" if file[1] else "models"
            name, revision = (api or file)[2], (api or file)[3]
            if (kind, name) not in repositories:
                return self.refuse(401, "RepoNotFound")
            if name in gated:
                return self.refuse(403, "GatedRepo")
            folder = repositories[kind, name] / revision
            if not folder.is_dir():
                return self.refuse(404, "RevisionNotFound")
            if api:
                tree = [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _sha(p)}
                    for p in sorted(folder.iterdir())
                ]
                return self.give(json.dumps(tree).encode(), {"Content-Type": "application/json"}, body)
            path = folder / file[4]
            if not path.is_file():
                return self.refuse(404, "EntryNotFound")
            return self.give(path.read_bytes(), {"ETag": f'"{_sha(path)}"', "X-Repo-Commit": revision}, body)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def give(self, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(200)
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with reaching(f"http://127.0.0.1:{server.server_port}", cache):
            yield requests
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def reaching(endpoint: str, cache: Path, offline: bool = False) -> Iterator[None]:
    """Have the hub at another address, and its cache in another folder."""
    import datasets
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(constants, "ENDPOINT", endpoint)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
        yield


def _sha(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
