"""A model and its tokenizer as a standard Transformers folder, the same bytes wherever the same model is saved."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a standard Transformers folder, weights in safetensors."""
    model.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # written for their owner alone, as other files are not
        shutil.copymode(folder / "config.json", weights)
    # Transformers would write down whether the hub was switched off (HF_HUB_OFFLINE), and digests cover these files.
    tokenizer.init_kwargs["local_files_only"] = False
    tokenizer.save_pretrained(folder)
