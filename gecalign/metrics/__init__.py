"""Scores of corrections, 0-100, and what a system does whatever its score.

`from gecalign import metrics` gives what others use: `bleu`, `gleu`, `chrf`, `edit_f05` and `evaluate`.

- `scores`: a metric as sufficient statistics of sentences, and the score of their sum
- `ngram_score`: BLEU, GLEU, chrF
- `edit_score`: edit precision, recall, F0.5, and recall by type of error
- `behaviour`: copies, loops, runs on, changes what was right
- `predictions`: outputs in files
"""

from gecalign.metrics.scores import (
    METRICS as METRICS,
)
from gecalign.metrics.scores import (
    Array as Array,
)
from gecalign.metrics.scores import (
    Evaluation as Evaluation,
)
from gecalign.metrics.scores import (
    Metric as Metric,
)
from gecalign.metrics.scores import (
    Score as Score,
)
from gecalign.metrics.scores import (
    bleu as bleu,
)
from gecalign.metrics.scores import (
    chrf as chrf,
)
from gecalign.metrics.scores import (
    chrf_plus_plus as chrf_plus_plus,
)
from gecalign.metrics.scores import (
    edit_f05 as edit_f05,
)
from gecalign.metrics.scores import (
    evaluate as evaluate,
)
from gecalign.metrics.scores import (
    gleu as gleu,
)
