"""Measure what the project promises, on this machine, and print it beside the promise.

    make bench                              # all of it: about twenty minutes on two cores
    python bench/targets.py --quick         # without timing the whole book and the whole test suite

Run it while nothing else runs. The study's products are taken from `runs/` where they exist; the time of the
book is always that of a first build, in a folder of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gecalign.study import Study

ROOT = Path(__file__).resolve().parents[1]


def seconds_of(command: list[str], repeats: int = 1, **environment: str) -> float:
    """Return the median wall time of a command that must succeed."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def import_time() -> str:
    """Seconds that `import gecalign` adds to starting Python."""
    bare = seconds_of([sys.executable, "-c", "pass"], repeats=5)
    return f"{max(0.0, seconds_of([sys.executable, '-c', 'import gecalign'], repeats=5) - bare):.2f} s"


def corpus_time() -> str:
    """Seconds for 100,000 pairs, and BLEU of copying them."""
    from gecalign.corpus.tinygec.corpus import generate

    start = time.perf_counter()
    generate("train", 100_000, seed=0)
    return f"{time.perf_counter() - start:.0f} s"


def _gain(study: Study, system: str, control: str, split: str) -> str:
    from gecalign import metrics
    from gecalign.statistics import compare
    from gecalign.study import tables

    scored, base = (tables.bleu_statistics(study.evaluation(name, split)) for name in (system, control))
    gain = compare.paired_difference(scored, base, metrics.bleu.score)
    return f"{gain.estimate:+.1f} BLEU ({gain.interval.low:+.1f} to {gain.interval.high:+.1f}), n = {gain.n}"


def sft_gain() -> str:
    """BLEU of SFT on careful demonstrations above copying, on dev, with its interval."""
    from gecalign import config
    from gecalign.study import Study

    return _gain(Study(config.profile("tiny").variant(data__miss=0.0), seed=0), "sft", "copy", "dev")


def dpo_gain() -> str:
    """BLEU of DPO above SFT continued, on dev, with its interval."""
    from gecalign.study import Study

    return _gain(Study("tiny", seed=0), "dpo", "sft-continued", "dev")


def grpo_gain() -> str:
    """BLEU of GRPO above SFT continued, on dev, with its interval."""
    from gecalign.study import Study

    return _gain(Study("tiny", seed=0), "grpo", "sft-continued", "dev")


def best_of_16() -> str:
    """BLEU of the best of 16 samples (temperature 1, by sentence BLEU) above greedy decoding, on dev."""
    from gecalign import metrics, prompts
    from gecalign.models.decode import decode
    from gecalign.statistics import compare
    from gecalign.study import Study, tables

    study = Study("tiny", seed=0)
    dev = study.examples("dev")
    asked = [prompts.render(study.profile.prompt, example.source) for example in dev]
    sampled = replace(study.profile.decoding, temperature=1.0, samples=16)
    groups = decode(study.model("sft"), asked, sampled, seed=0, progress="16 samples a prompt")
    texts = [prompts.hypothesis(completion.text) for group in groups for completion in group]
    rows = metrics.bleu.statistics(texts, [example.reference for example in dev for _ in range(16)])  # (16 n, k)
    best = metrics.bleu.sentence_score(rows).reshape(-1, 16).argmax(axis=1)
    chosen = rows.reshape(len(dev), 16, -1)[range(len(dev)), best]
    greedy = tables.bleu_statistics(study.evaluation("sft", "dev"))
    gain = compare.paired_difference(chosen, greedy, metrics.bleu.score)
    return f"{gain.estimate:+.1f} BLEU ({gain.interval.low:+.1f} to {gain.interval.high:+.1f}), n = {gain.n}"


def greedy_time() -> str:
    """Seconds to decode the 2,000 test sentences greedily."""
    from gecalign import prompts
    from gecalign.models.decode import decode
    from gecalign.study import Study

    study = Study("tiny", seed=0)
    asked = [prompts.render(study.profile.prompt, example.source) for example in study.examples("test")]
    model, tokenizer = study.model("sft")
    start = time.perf_counter()
    decode((model, tokenizer), asked, study.profile.decoding)
    return f"{time.perf_counter() - start:.1f} s for {len(asked)} sentences"


def book_time() -> str:
    """Seconds of a first `make book` after installation."""
    with tempfile.TemporaryDirectory() as runs:
        return f"{seconds_of(['make', 'book'], GECALIGN_RUNS=runs):.0f} s"


def test_time() -> str:
    """Seconds of `make test` after installation."""
    return f"{seconds_of(['make', 'test']):.0f} s"


TARGETS: list[tuple[str, str, Callable[[], str]]] = [
    ("import gecalign", "under 0.5 s", import_time),
    ("100,000 TinyGEC pairs", "under 60 s", corpus_time),
    ("careful SFT above copying", "at least +10 BLEU", sft_gain),
    ("DPO above SFT continued", "above 0", dpo_gain),
    ("GRPO above SFT continued", "above 0", grpo_gain),
    ("best of 16 above greedy, dev", "at least +3 BLEU", best_of_16),
    ("greedy decoding, test", "under 15 s", greedy_time),
    ("make book", "under 900 s", book_time),
    ("make test", "under 900 s", test_time),
]


def main() -> None:
    """Print a line for each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without `make book` and `make test`")
    quick = parser.parse_args().quick
    print(f"{'what':<30}{'promised':<20}measured")
    for name, promise, measure in TARGETS:
        if not (quick and name.startswith("make")):
            print(f"{name:<30}{promise:<20}{measure()}", flush=True)


if __name__ == "__main__":
    main()
