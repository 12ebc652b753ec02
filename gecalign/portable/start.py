"""Unpack what `gecalign portable pack` made, and run it: `python start.py --minutes 8 --to OUT`.

Runs on a machine that has PyTorch and reaches nothing. It needs no package but Python's own.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def main() -> int:
    """Unpack once, then start `gecalign portable run` with what follows."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=here / "unpacked", help="where to unpack, and to keep products")
    own, others = parser.parse_known_args()
    index = json.loads((here / "parts.json").read_text(encoding="utf-8"))
    work = own.work / index["digest"][:12]
    if not (work / "whole").exists():
        unpack(here, index, work)
    environment = dict(os.environ)
    places = [work / "package", work / "packages", *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "GECALIGN_RUNS": str(work / "runs"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    command = [sys.executable, "-m", "gecalign", "portable", "run", "--profile", index["profile"], *others]
    return subprocess.run(command, env=environment).returncode


def unpack(here: Path, index: dict, work: Path) -> None:
    """Put the parts together, check them, and lay out package, packages and what the run starts from."""
    work.mkdir(parents=True, exist_ok=True)
    whole = work / "content.tar"
    with whole.open("wb") as file:
        for name, digest in index["parts"].items():
            if not (here / name).exists():
                sys.exit(f"{name} is missing beside {Path(__file__).name}: carry all {len(index['parts'])} parts.")
            raw = (here / name).read_bytes()
            if hashlib.sha256(raw).hexdigest() != digest:
                sys.exit(f"{name} was damaged on the way: carry it again.")
            file.write(raw)
    with tarfile.open(whole) as archive:
        archive.extractall(work, filter="data")
    whole.unlink()
    for wheel in sorted((work / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work / "packages")
    (work / "whole").touch()


if __name__ == "__main__":
    sys.exit(main())
