"""Ten systems, 2,000 sentences, 10,000 resamples of BLEU: draws shared by all systems, or a call a system?

    python bench/compare.py

Both give the same intervals and p-values. `gecalign compare` does the first, for each of four metrics; on two cores it
has a budget of 5 seconds, counting of n-grams included. Run it while nothing else runs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from gecalign import metrics, report
from gecalign.statistics import compare
from gecalign.statistics.resampling import Resampling

SYSTEMS, SENTENCES, RESAMPLES = 10, 2000, 10_000
HOW = Resampling(RESAMPLES)
WORDS = [f"word{i}" for i in range(500)]


def corpus() -> tuple[dict[str, list[str]], list[str]]:
    """Return what systems wrote, by name, and references: sentences of 8 to 24 words, one word in six spoilt."""
    rng = random.Random(0)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(8, 24))) for _ in range(SENTENCES)]

    def spoilt(text: str) -> str:
        return " ".join(word if rng.random() < 5 / 6 else rng.choice(WORDS) for word in text.split())

    return {f"system {i}": [spoilt(text) for text in references] for i in range(SYSTEMS)}, references


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Return the wall time of a call, and what it returned."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Print the seconds of counting, of both ways, and of a whole report."""
    systems, references = corpus()
    bleu = metrics.bleu
    counting, rows = seconds(lambda: {name: bleu.statistics(texts, references) for name, texts in systems.items()})
    baseline, *others = rows

    def together() -> object:
        chosen = {name: rows[name] for name in others}
        return (
            compare.intervals(rows, bleu.score, HOW),
            compare.paired_differences(chosen, rows[baseline], bleu.score, HOW),
        )

    def one_by_one() -> object:
        return (
            {name: compare.interval(found, bleu.score, HOW) for name, found in rows.items()},
            {name: compare.paired_difference(rows[name], rows[baseline], bleu.score, HOW) for name in others},
        )

    compare.interval(rows[baseline], bleu.score, Resampling(10))  # loads SciPy
    shared, found = seconds(together)
    alone, same = seconds(one_by_one)
    inputs, settings = report.Inputs(systems, references, references), report.Settings(resamples=RESAMPLES)
    whole, _ = seconds(lambda: report.build(inputs, settings))
    print(f"{SYSTEMS} systems, {SENTENCES:,} sentences, {RESAMPLES:,} resamples of BLEU; same numbers: {found == same}")
    print(f"counting n-grams:              {counting:6.2f} s")
    print(f"draws shared by all systems:   {shared:6.2f} s   (with counting {counting + shared:.2f}; budget 5)")
    print(f"a call a system:               {alone:6.2f} s")
    print(f"a whole report, four metrics:  {whole:6.2f} s")


if __name__ == "__main__":
    main()
