"""Real sentences: demonstrations from C4_200M, judgements from JFLEG, as a folder that `corpora` reads.

- SFT learns from C4_200M: sentences of the web into which a program put errors, with targets that are as noisy as the
  web (Stahlberg & Kumar 2021, https://aclanthology.org/2021.bea-1.4). A hasty kind of demonstration.
- Preferences and scores are about JFLEG: sentences of learners, each made fluent by four people (Napoles, Sakaguchi &
  Tetreault 2017, https://aclanthology.org/E17-2037). Its dev set is cut into prompts for preferences and dev; its test
  set is test. A careful kind of judgement.

JFLEG is tokenised, and is brought into ordinary text (`gecalign.corpus.tokens`). Licences: JFLEG CC BY-NC-SA 4.0; the
edits of C4_200M CC BY 4.0, its text ODC-BY. Neither is part of this package.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from gecalign.corpus.examples import cleaned
from gecalign.corpus.textfiles import lines, read_text
from gecalign.corpus.texts import words
from gecalign.corpus.tokens import detokenized
from gecalign.runtime import pinned, store
from gecalign.runtime.pinned import Pinned

NAME = "jfleg-c4"
ABOUT = "JFLEG (CC BY-NC-SA 4.0) and C4_200M (edits CC BY 4.0, text ODC-BY), for measuring; pass them on by their terms"
JFLEG = "https://raw.githubusercontent.com/keisks/jfleg/ee06ff806a208aba815ac45313f4e750a48330a5"
JFLEG_DIGESTS = {
    "dev.src": "4a0e8b86d18a1058460ff0a592dac1ba68986d135256efbd27e997ac43f295f8",
    "dev.ref0": "adea6287c6e2240b7777e63cd56f8e228e742bbfb42c5152bc0bd2bc91f4e53e",
    "dev.ref1": "d40d56ec7468ddab03fdcca97065ab3f9d391d749dbc7097b7c777a19ce4242e",
    "dev.ref2": "b070691d633e0c4143d96ba21299ae71cb126086517d2970df47420842067793",
    "dev.ref3": "9187fd834693fa77d07957991282d32d61ff84a207c25cbfab318c871bacdbc4",
    "test.src": "893db119162487aa7f956b65978453576919e6797cd6c1955f93b7a8b9f4bbd8",
    "test.ref0": "875953280a3ea1dea2827337b1778c0105f0c0aa79f2517a6e0e42db5e5e170c",
    "test.ref1": "190d3398f2765f54a39b5489d1e96c483412a656086c731f8712ad0591087d80",
    "test.ref2": "0e3c6abe934ccd16c9dffb2fd889d6f55afc3ad13a63c1e148c720bb4e99046b",
    "test.ref3": "19f49de6eff813b26505ecf756c20dc301aeb80696696b01ca950298f6e58441",
}
C4 = Pinned(
    "c4_200m/c4train.csv",
    "https://raw.githubusercontent.com/lessw2020/t5_11/8ae276d3d91fc9f9ee2a865d111d263842c2970d/c4train.csv",
    (
        "7291e0d4fdbdb842df84ab713a83bf4df5e8d6a94fb2dcd5c5fe4c91fdb28612",  # as it is published
        "41ff89375dedc43ad43928643a8dca5fd1ec0f102e345c452e62ded2b4114b09",  # without rows that hold addresses
    ),
)
LAST = "train"  # of the files to be written
PREFERENCE, REFERENCES = 500, 4  # prompts of JFLEG's dev set, of 754; corrections a sentence
SHORTEST, LONGEST = 3, 40  # words of a demonstration
MOST_CHANGED = 0.4  # of the words of its source
ADDRESS = re.compile(r"https?:|www\.|@|\d{3}[-. ]\d{3,4}[-. ]\d{3,4}|\.(?:com|org|net)\b")


def fetch(given: Path | None = None) -> Path:
    """Return the folder of the corpus, made now unless it is whole: a JSONL file a split.

    Args:
        given: a folder that holds the original files, for whoever has them; else they are fetched.

    Raises:
        ValueError: a file is missing, cannot be had, or is not the one that was pinned.
    """
    jfleg = {name: pinned.fetch(_of_jfleg(name, digest), given) for name, digest in JFLEG_DIGESTS.items()}
    c4 = pinned.fetch(C4, given)
    dev, test = (_learners(name, jfleg) for name in ("dev", "test"))
    learners = {"preference": dev[:PREFERENCE], "dev": dev[PREFERENCE:], "test": test}
    folder().mkdir(parents=True, exist_ok=True)
    splits = learners | {LAST: list(_demonstrations(c4))}
    for name, rows in splits.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        store.write_text(folder() / f"{name}.jsonl", text)
    return folder()


def folder() -> Path:
    """Return where the corpus lies."""
    return pinned.folder() / NAME / "splits"


def is_there() -> bool:
    """Return whether the corpus is whole."""
    return (folder() / f"{LAST}.jsonl").exists()


def _of_jfleg(name: str, digest: str) -> Pinned:
    split = name.partition(".")[0]
    return Pinned(f"{NAME}/{name}", f"{JFLEG}/{split}/{name}", (digest,))


def _learners(split: str, files: dict[str, Path]) -> list[dict[str, object]]:
    """Return the sentences of a split with their corrections, in an order that does not depend on the essays'."""
    columns = [
        [detokenized(line) for line in lines(read_text(files[f"{split}.{name}"]))]
        for name in ("src", *(f"ref{i}" for i in range(REFERENCES)))
    ]
    rows = [{"_id": f"jfleg-{split}-{i}", "src": source, "tgt": list(references)}
            for i, (source, *references) in enumerate(zip(*columns, strict=True))]  # fmt: skip
    return sorted(rows, key=lambda row: hashlib.sha256(str(row["src"]).encode()).digest())


def _demonstrations(path: Path) -> Iterator[dict[str, object]]:
    """Yield the pairs that can be demonstrations of single sentences, each source once."""
    seen = set()
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            source, target = cleaned(row["input"].removeprefix("grammar: ")), cleaned(row["target"])
            before, after = words(source), words(target)
            usable = (
                (source + target).isascii()
                and not ADDRESS.search(f"{source} {target}")
                and all(SHORTEST <= len(one) <= LONGEST for one in (before, after))
                and Levenshtein.distance(before, after) <= MOST_CHANGED * len(before)
            )
            if usable and source not in seen:
                seen.add(source)
                yield {"_id": f"c4-{number}", "src": source, "tgt": target}
