"""Reports for tests: systems that correct one half of the sentences or another, and what could break a page."""

from __future__ import annotations

import factories

from gecalign import report

N, RESAMPLES = 200, 400
SOURCES, REFERENCES = (list(texts) for texts in zip(*factories.pairs(N), strict=True))
WRONG = [i for i in range(N) if SOURCES[i] != REFERENCES[i]]


def fixing(corrected: set[int]) -> list[str]:
    """Return outputs that correct these sentences and copy the others."""
    return [REFERENCES[i] if i in corrected else SOURCES[i] for i in range(N)]


HALF = set(WRONG[::2])
SYSTEMS = {
    "half": fixing(HALF),
    "all": fixing(set(WRONG)),
    "few": fixing(set(WRONG[::8])),
    "other half": fixing(set(WRONG[1::2])),
    "but one": fixing(HALF - {WRONG[0]}),
    "same": fixing(HALF),
}
TRUNCATED = {"all": [i == 0 for i in range(N)]}


def build(systems=SYSTEMS, truncated=None, notes=(), **settings) -> report.Report:
    inputs = report.Inputs(systems, SOURCES, REFERENCES, truncated or {}, notes)
    return report.build(inputs, report.Settings(**{"resamples": RESAMPLES, "margin": 1.0} | settings))
