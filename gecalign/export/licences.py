"""Licences of the base models: which one a base has, and what it asks of whoever passes on a model made from it."""

from __future__ import annotations

import shutil
from pathlib import Path

from gecalign import config
from gecalign.runtime import files

# As the hub calls them, by how the names of the bases begin.
ON_THE_HUB = {"HuggingFaceTB/SmolLM": "apache-2.0", "meta-llama/Llama-3.2": "llama3.2"}
UNKNOWN, LLAMA = "unknown", "llama3.2"
LLAMA_NOTICE = (
    "Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright © Meta Platforms, Inc. All Rights Reserved."
)
LLAMA_ADDRESS = "https://www.llama.com/llama3_2/license/"
LLAMA_TEXT = "LICENSE.txt"  # of the base, on the hub


def of(model: config.Model) -> str:
    """Return the licence of a base by the hub's name for it; of a local folder, what its model card says."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    from gecalign.models.loading import local_folder

    folder = local_folder(model)
    if folder is None:
        return next((licence for start, licence in ON_THE_HUB.items() if model.name.startswith(start)), UNKNOWN)
    try:
        return str(ModelCard.load(folder / "README.md").data.get("license", UNKNOWN))
    except (OSError, ValueError, YAMLError):
        return UNKNOWN


def write(model: config.Model, folder: Path) -> str:
    """Write what the licence of a base wants to stand beside a model made from it; return the licence."""
    licence = of(model)
    if licence == LLAMA:
        files.write_text(folder / "NOTICE", LLAMA_NOTICE + "\n")
        if text := _text(model):
            shutil.copyfile(text, folder / LLAMA_TEXT)
    return licence


def check_publishable(folder: Path, licence: str, base: str, repository: str) -> None:
    """Raise ValueError where a model may not be published so: under this name, or without the licence's text."""
    check_name(licence, repository)
    if licence == LLAMA and not (folder / LLAMA_TEXT).exists():
        raise ValueError(
            f"the Llama 3.2 Community License asks that its text goes with the model, and {folder} has no "
            f"{LLAMA_TEXT}. Fetch it with the base (`hf download {base} {LLAMA_TEXT}` at the pinned --revision) and "
            "export again."
        )


def check_name(licence: str, repository: str) -> None:
    """Raise ValueError where a name is none that the hub takes, or none that the licence of the base allows."""
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    validate_repo_id(repository)
    user, slash, name = repository.partition("/")
    if not (user and slash and name):
        raise ValueError(f"--push-to takes user/name (or organization/name), not {repository!r}.")
    if licence == LLAMA and not name.startswith("Llama"):
        raise ValueError(
            "the Llama 3.2 Community License asks that the name of a model made from Llama begins with it: not "
            f"{name}, but for example Llama-{name}."
        )


def _text(model: config.Model) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    from gecalign.models.loading import local_folder

    folder = local_folder(model)
    if folder:
        found: object = str(folder / LLAMA_TEXT)
    else:
        found = try_to_load_from_cache(model.name, LLAMA_TEXT, revision=model.revision)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None
