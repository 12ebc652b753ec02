"""Choose PyTorch's build before anything is installed: print what to add to `pip install`, and on stderr a line why.

What PyPI has for Linux brings several gigabytes of CUDA, which a machine without an NVIDIA driver has no use for.
Needs nothing but Python, and pip for what pip has been told already:

    .venv/bin/pip install -r requirements.txt -c constraints.txt $(.venv/bin/python tools/torch_index.py)
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path

INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5.0  # seconds, for the index and for nvidia-smi
DRIVER = ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/nvidiactl", "/usr/lib/wsl/lib/nvidia-smi")


def choose(wanted: str, platform: str, settings: Mapping[str, str]) -> tuple[list[str], str]:
    """Return what to add to `pip install`, and the choice in words.

    Args:
        wanted: "cpu" or "cuda"; empty where the machine decides.
        platform: `sys.platform`.
        settings: pip's own.

    Raises:
        ValueError: another build is wanted, or one that PyPI does not have.
    """
    if wanted not in ("", "cpu", "cuda"):
        raise ValueError(f"TORCH is {wanted!r}; expected cpu or cuda, or nothing, to let the machine decide.")
    if wanted == "cuda" and platform != "linux":
        raise ValueError(
            f"TORCH=cuda: PyPI has no CUDA build for this platform ({platform}). Leave TORCH out, and set "
            "PIP_EXTRA_INDEX_URL to the index that https://pytorch.org/get-started/locally/ names for it."
        )
    if platform != "linux":
        return [], f"the usual build (on {platform} it brings no CUDA)"
    if wanted == "cuda":
        return [], "CUDA build (TORCH=cuda)"
    if not wanted and (name := own_index(settings)):
        return [], f"from where pip has been told to look ({name} is set; TORCH=cpu adds the index of CPU builds)"
    if not wanted and driver_found():
        return [], "CUDA build (NVIDIA driver found; TORCH=cpu takes the other)"
    why = "TORCH=cpu" if wanted else "no NVIDIA driver found"
    if not reachable(INDEX, settings):
        return [], f"the build of pip's usual index ({why}, but {INDEX} cannot be reached)"
    return ["--extra-index-url", INDEX], f"CPU build ({why}{'' if wanted else '; TORCH=cuda takes the other'})"


def own_index(settings: Mapping[str, str]) -> str:
    """Return the setting of pip by which its user has named an index for torch, or for everything; "" without one."""
    for name, value in settings.items():
        key = name.rpartition(".")[2]
        from_shell = name.startswith(":env:")
        if key in ("index-url", "no-index") or (key == "extra-index-url" and (from_shell or "pytorch" in value)):
            return f"PIP_{key.replace('-', '_').upper()}" if from_shell else f"{key} in pip's configuration"
    return ""


def pip_settings() -> dict[str, str]:
    """Return what pip has been told by its files and by the environment: `global.index-url` and so on."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    pairs = (line.partition("=") for line in listed.stdout.splitlines())
    return {name: value.strip("'\"") for name, _, value in pairs}


def driver_found() -> bool:
    """Whether this machine has an NVIDIA driver."""
    return any(Path(path).exists() for path in DRIVER) or _works("nvidia-smi")


def _works(program: str) -> bool:
    if (found := shutil.which(program)) is None:
        return False
    nowhere = subprocess.DEVNULL
    try:
        return subprocess.run([found], stdout=nowhere, stderr=nowhere, timeout=PATIENCE, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def reachable(index: str, settings: Mapping[str, str], patience: float = PATIENCE) -> bool:
    """Whether an index answers in time, asked through the proxy and with the certificates that pip uses."""
    told = {name.rpartition(".")[2]: value for name, value in settings.items()}
    answered = threading.Event()

    def ask() -> None:
        # None: those of the environment
        proxies = dict.fromkeys(("http", "https"), told["proxy"]) if "proxy" in told else None
        try:
            context = ssl.create_default_context(cafile=told.get("cert"))
            handlers = urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
            request = urllib.request.Request(f"{index}/torch/", method="HEAD")
            with urllib.request.build_opener(*handlers).open(request, timeout=patience):
                answered.set()
        except (OSError, ValueError):  # also what urllib and ssl raise
            pass

    # the timeout above counts for each address anew, and not for a name server that is silent
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return answered.is_set()


def main() -> None:
    """Print the options on standard output, and one line about them on standard error."""
    try:
        options, words = choose(os.environ.get("TORCH", "").strip().lower(), sys.platform, pip_settings())
    except ValueError as error:
        sys.exit(f"gecalign: {error}")
    print(f"PyTorch: {words}", file=sys.stderr)
    print(*options)


if __name__ == "__main__":
    main()
