"""Models in GGUF files, the form of llama.cpp: turned into a standard folder once, and from then on as any other.

A GGUF file holds tokenizer and weights, the latter mostly rounded: in Q4_1, for example, 32 neighbours share a scale
and an offset, and each is one of 16 steps between. Training needs plain weights, so they are multiplied out to 32-bit
floats. What rounding took is gone: what a study then starts from is a neighbour of the model that was rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from gecalign.models import saving
from gecalign.runtime import store

MAGIC = b"GGUF"
WAY_OUT = "Copy or download it again, or give another file."


def is_gguf(path: Path) -> bool:
    """Return whether a path is named as a GGUF file, in letters of any case."""
    return path.suffix.lower() == ".gguf"


def folder_of(path: Path) -> Path:
    """Return the standard model folder of a GGUF file, made now unless it is there: a stage by the file's digest.

    Raises:
        ValueError: it is no GGUF file, is damaged, or its architecture or its rounding is not known to Transformers.
        StageError: the folder was changed after it was made.
    """
    stat = path.stat()
    return _folder_of(path.resolve(), stat.st_mtime_ns, stat.st_size)


@lru_cache(8)
def _folder_of(path: Path, modified: int, size: int) -> Path:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is called a GGUF file (model__name), and does not begin as one. {WAY_OUT}")
    made = store.obtain(
        store.runs_folder() / "models",
        path.stem,
        {"gguf": store.file_digest(path)},
        lambda folder: _convert(path, folder / "model"),
        announce="Its weights are multiplied out to 32-bit floats: four bytes a parameter on the disk.",
    )
    return made.folder / "model"


def _convert(path: Path, to: Path) -> Mapping[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.integrations.gguf import read_gguf_metadata
    from transformers.utils.import_utils import is_gguf_available

    if not is_gguf_available():
        raise ValueError(
            f"{path} is a GGUF file, and the package gguf, which reads such files, is not installed: pip install gguf"
        )
    try:
        metadata, _ = read_gguf_metadata(path)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        read, report = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # of a parser of binary files: whatever a damaged one leads it to
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} could not be read as a GGUF model ({words}). {WAY_OUT}") from error
    if absent := sorted(report["missing_keys"]):
        raise ValueError(f"{path} lacks {len(absent)} tensors, such as {absent[0]}. {WAY_OUT}")
    # what was read from GGUF refuses to be saved; a plain model of the same shape does not
    plain = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    saving.save(plain, tokenizer, to)
    licence = metadata.get("general.license", "unknown")
    store.write_text(to / "README.md", f"---\nlicense: {licence}\n---\n\nConverted from {path.name}.\n")
    return {"parameters": plain.num_parameters(), "architecture": read.config.model_type, "file": path.name}
