"""Side by side: the work of a study as a tutorial does it, as TRL and Transformers do it at their best, and as we do.

    python bench/side_by_side.py                          # in the shape of `tiny`
    python bench/side_by_side.py --profile smollm2-135m   # in SmolLM's; its model and sentences are to be fetched first

The same rows, weights and lengths for each, in turn, several rounds; a median each is appended to
`results/side-by-side.csv`. Updates are forward and backward pass; they come to the same loss (`gap`, nats). Greedy
outputs are compared, too (`equal`, a share of the texts); samples are drawn from the same distribution, by other random
numbers. Run it while nothing else runs.

    profile, work, way    "tutorial": prompts one at a time, for texts only; "flagged": batched, sorted by length,
                          micro-batches as memory allows, no checkpointing; "ours"
    seconds, low, high, rounds    median, least and most of the rounds
    tokens, gap, equal            written, where texts are; see above
    threads, machine, torch, transformers, trl, commit
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from gecalign import prompts
from gecalign.config import Decoding
from gecalign.models import decode
from gecalign.models.loading import Loaded
from gecalign.preferences import pairs
from gecalign.runtime import store
from gecalign.study import Study
from gecalign.training import dpo, grpo, loop, online, sft
from gecalign.training.rows import demonstrations

RECORD = Path(__file__).resolve().parents[1] / "results" / "side-by-side.csv"
COLUMNS = (
    "profile", "work", "way", "seconds", "low", "high", "rounds", "tokens", "gap", "equal", "threads", "machine",
    "torch", "transformers", "trl", "commit",
)  # fmt: skip
SENTENCES = 64


class Work(NamedTuple):
    """Something that is done in several ways, each of which returns what is to be compared."""

    name: str
    ways: dict[str, Callable[[], Any]]
    texts: bool = False  # whether texts are returned, in tokens; else a loss


@contextmanager
def trls_head() -> Iterator[None]:
    """Within this, trainers are made with TRL's own head, and without packing."""
    with patch.object(loop, "use_plain_head", lambda *_: None), patch.object(online, "use_plain_head", lambda *_: None):
        yield


def updates(study: Study) -> Iterator[Work]:
    """An update of each method. GRPO's batch holds samples that were drawn beforehand."""
    profile = study.profile

    def run() -> Any:
        return study.run(Path(tempfile.mkdtemp()))

    def of_sft() -> Any:
        rows = demonstrations(study.examples("train")[:500], profile.prompt)
        return sft.trainer(study.model("sft"), rows, profile.sft, run())

    def of_dpo() -> Any:
        preferences = pairs.read(study.pairs().folder / "pairs.jsonl")
        return dpo.trainer(study.model("sft"), study.model("sft")[0], preferences, [], profile.dpo, run())

    def of_grpo() -> Any:
        start, reference = study.model("sft"), study.model("sft")[0]
        return grpo.trainer(start, reference, study.examples("preference"), profile.grpo, run())

    for name, make in (("SFT", of_sft), ("DPO", of_dpo), ("GRPO", of_grpo)):
        with trls_head():
            theirs = make()
        ours = make()
        batch = ours._prepare_inputs(next(iter(ours.get_train_dataloader())))
        yield Work(f"{name}, update", {"flagged": _update(theirs, batch), "ours": _update(ours, batch)})


def _update(trainer: Any, batch: dict[str, Any]) -> Callable[[], float]:
    def update() -> float:
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        trainer.model.zero_grad()
        return loss.item()

    return update


def writing(study: Study) -> Iterator[Work]:
    """The greedy outputs of an evaluation, and the samples of a generation of GRPO."""
    profile, loaded = study.profile, study.model("sft")
    loaded[0].eval()
    dev = [prompts.render(profile.prompt, example.source) for example in study.examples("dev")[:SENTENCES]]
    of_grpo = replace(
        profile.decoding, temperature=profile.grpo.temperature, top_p=profile.grpo.top_p,
        samples=profile.grpo.group_size, batch_tokens=10**9,
    )  # fmt: skip
    asked = dev[: profile.grpo.batch_size // profile.grpo.group_size]
    for name, some, how in (("evaluation", dev, profile.decoding), ("GRPO, samples", asked, of_grpo)):
        yield Work(name, {
            "tutorial": _one_at_a_time(loaded, some, how),
            "flagged": _by_transformers(loaded, some, how),
            "ours": _by_us(loaded, some, how),
        }, texts=True)  # fmt: skip


def _by_us(loaded: Loaded, asked: Sequence[str], how: Decoding) -> Callable[[], list[list[int]]]:
    def write() -> list[list[int]]:
        with patch.object(decode, "completion", lambda _, ids: ids):
            return [ids for group in decode.decode(loaded, asked, how) for ids in group]

    return write


def _by_transformers(loaded: Loaded, asked: Sequence[str], how: Decoding) -> Callable[[], list[list[int]]]:
    model, tokenizer = loaded

    def write() -> list[list[int]]:
        ids, found = tokenizer(list(asked))["input_ids"], {}
        for batch in decode._batches([len(one) for one in ids], how):
            some = {"input_ids": [ids[i] for i in batch]}
            inputs = tokenizer.pad(some, padding_side="left", return_tensors="pt").to(model.device)
            with torch.no_grad():
                rows = model.generate(**inputs, generation_config=decode.generation_config(tokenizer, how)).tolist()
            for turn, row in enumerate(rows):
                new = row[inputs["input_ids"].shape[1] :]
                cut = new.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in new else len(new)
                found.setdefault(batch[turn // how.samples], []).append(new[:cut])
        return [one for i in range(len(ids)) for one in found[i]]

    return write


def _one_at_a_time(loaded: Loaded, asked: Sequence[str], how: Decoding) -> Callable[[], list[list[int]]]:
    alone = [_by_transformers(loaded, [one], how) for one in asked]
    return lambda: [ids for write in alone for ids in write()]


def measure(work: Work, rounds: int) -> list[dict[str, Any]]:
    """Do it in all ways in turn, after a round that warms up; return a row a way."""
    seconds: dict[str, list[float]] = {way: [] for way in work.ways}
    results: dict[str, Any] = {}
    for turn in range(rounds + 1):
        for way, do in work.ways.items():
            start = time.perf_counter()
            results[way] = do()
            if turn:
                seconds[way].append(time.perf_counter() - start)
    rows = []
    for way, times in seconds.items():
        mine, ours = results[way], results["ours"]
        compared: dict[str, Any] = {"gap": f"{abs(mine - ours):.1e}"} if not work.texts else {
            "tokens": sum(map(len, mine)),
            "equal": "" if work.name != "evaluation" else
            round(sum(one == other for one, other in zip(mine, ours, strict=True)) / len(ours), 3),
        }  # fmt: skip
        rows.append({
            "work": work.name, "way": way, "seconds": round(statistics.median(times), 3), "low": round(min(times), 3),
            "high": round(max(times), 3), "rounds": rounds, **compared,
        })  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, and append to the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=RECORD)
    asked = parser.parse_args()
    study = Study(asked.profile, seed=0)
    made = store.provenance()
    about = {
        "profile": study.profile.name, "threads": torch.get_num_threads(), "machine": made["machine"]["processor"],
        "commit": made["commit"], **{name: made["packages"][name] for name in ("torch", "transformers", "trl")},
    }  # fmt: skip
    for works in (writing(study), updates(study)):
        for work in works:
            rows = [about | row for row in measure(work, asked.rounds)]
            base = {row["way"]: row["seconds"] for row in rows}["ours"]
            for row in rows:
                print(
                    f"{work.name:<16} {row['way']:<9} {row['seconds']:8.2f} s  {row['seconds'] / base:5.1f}", flush=True
                )
            _append(rows, asked.to)


def _append(rows: Sequence[dict[str, Any]], to: Path) -> None:
    new = not to.exists()
    with to.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
