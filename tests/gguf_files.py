"""Small GGUF files as llama.cpp's converter writes them, from models of `factories`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from transformers import AutoModelForCausalLM

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write(folder: Path, path: Path, rounding: str = "F32", architecture: str = "llama", **left_out: bool) -> Path:
    """Write the model and the tokenizer of a standard folder as GGUF, its matrices rounded."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), json.loads((folder / "tokenizer.json").read_text())
    config, writer = model.config, GGUFWriter(path, architecture)
    writer.add_name("small")
    writer.add_license("apache-2.0")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight" and not left_out.get(name.rpartition(".")[0].rpartition(".")[2]):
            _add(writer, _name(name), _permuted(name, weight.numpy(), config), rounding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, tokenizer: dict) -> None:
    special = {one["content"] for one in tokenizer["added_tokens"]}
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(1)


def _name(name: str) -> str:
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outside:
        return outside[name]
    _, _, block, *inside, kind = name.split(".")
    return f"blk.{block}.{NAMES['.'.join(inside)]}.{kind}"


def _permuted(name: str, weight: np.ndarray, config) -> np.ndarray:
    """Return a weight as llama.cpp has it: rows of queries and keys in another order."""
    if "q_proj" not in name and "k_proj" not in name:
        return weight
    heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _add(writer: GGUFWriter, name: str, weight: np.ndarray, rounding: str) -> None:
    kind = GGMLQuantizationType[rounding if weight.ndim == 2 else "F32"]
    data = quantize(np.ascontiguousarray(weight, dtype=np.float32), kind)
    writer.add_tensor(name, data, raw_dtype=kind)
