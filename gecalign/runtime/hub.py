"""The model hub: one question before a download, and what to do where the answer is no.

The libraries' own downloads ask six times for every file where nobody answers, which takes a minute or more. Here the
hub is asked once, for one small file; nothing is asked where that is in the cache.
"""

from __future__ import annotations

import re

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

SECONDS = 10.0  # how long the hub may take to answer
KINDS = {"model": "model", "dataset": "data set"}  # the hub's word, and ours
SETTINGS = {"model": ("model__name", "model__revision"), "dataset": ("data__source", "data__revision")}


def ask(kind: str, name: str, revision: str, file: str) -> None:
    """Ask the hub whether it would hand out a file of a repository, unless the file is in the cache already.

    Args:
        kind: "model" or "dataset".

    Raises:
        ValueError: it would not, or cannot be reached, or is not to be asked (`HF_HUB_OFFLINE=1`). The message says
            what to do.
    """
    if not re.fullmatch("[0-9a-f]{40}", revision):  # a branch or a tag moves
        raise ValueError(
            f"{SETTINGS[kind][1]} is {revision!r}, which is no commit: expected 40 hexadecimal digits, such as "
            f"{constants.ENDPOINT}/{'datasets/' * (kind == 'dataset')}{name}/commits/main lists."
        )
    try:
        if isinstance(try_to_load_from_cache(name, file, revision=revision, repo_type=kind), str):
            return
        get_hf_file_metadata(hf_hub_url(name, file, revision=revision, repo_type=kind), timeout=SECONDS)
    except EntryNotFoundError:  # it does hand out files
        return
    except Exception as error:  # of the hub, of the transport below it, or about the name: all mean the same here
        raise ValueError(_words(kind, name, revision, error)) from error


def ways_out(kind: str) -> str:
    """Return what to do where the hub does not give what is needed."""
    offline = "without HF_HUB_OFFLINE=1, which is set; and " if constants.HF_HUB_OFFLINE else ""
    return (
        f"Three ways out: go online ({offline}`hf auth login` where it is gated); download it "
        f"elsewhere and set {SETTINGS[kind][0]} to the folder; or use the profile tiny, which needs no hub."
    )


def _words(kind: str, name: str, revision: str, error: Exception) -> str:
    what = f"the {KINDS[kind]} {name!r}"
    page = f"{constants.ENDPOINT}/{'datasets/' * (kind == 'dataset')}{name}"
    if isinstance(error, GatedRepoError):
        return (
            f"{what} is gated: it is given to those who have been granted access. Ask for it at {page}, then run "
            f"`hf auth login` with the account that has it. {ways_out(kind)}"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{what} has no revision {revision!r}. Set {SETTINGS[kind][1]} to a commit of {page}/commits/main."
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no {KINDS[kind]} {name!r} that it would show you: the name is misspelt, or it is private "
            f"(`hf auth login`). {ways_out(kind)}"
        )
    return (
        f"{what} is no folder or file here, and could not be had from the hub ({type(error).__name__}: {error}). "
        f"{ways_out(kind)}"
    )
