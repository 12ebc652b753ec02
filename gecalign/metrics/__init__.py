"""Scores of corrections, 0-100, and what a system does whatever its score.

`from gecalign import metrics` gives what others use: `bleu`, `gleu`, `chrf`, `edit_f05` and `evaluate`.

- `scores`: a metric as sufficient statistics of sentences, and the score of their sum
- `ngram_score`: BLEU, GLEU, chrF
- `edit_score`: edit precision, recall, F0.5, and recall by type of error
- `errant_score`: the same by ERRANT, where it is installed
- `behaviour`: copies, loops, runs on, changes what was right
- `predictions`: outputs in files
"""

from gecalign.metrics.scores import (
    METRICS,
    Array,
    Evaluation,
    Metric,
    Score,
    bleu,
    chrf,
    chrf_plus_plus,
    edit_f05,
    evaluate,
    gleu,
    metrics_of,
)

__all__ = [
    "METRICS", "Array", "Evaluation", "Metric", "Score", "bleu", "chrf", "chrf_plus_plus", "edit_f05", "evaluate",
    "gleu", "metrics_of",
]  # fmt: skip
