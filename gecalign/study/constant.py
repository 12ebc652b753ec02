"""How readily a system edits is moved by one number at decoding (`gecalign.models.copying`), chosen on dev.

The control for "it only edits more readily": what a method gains over SFT that is decoded so is not a threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gecalign import config, metrics
from gecalign.study.evaluation import Outputs

GRID = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, 2.5, 3.0)  # nats; of equally good ones the first


def on_dev(evaluate: Callable[[config.Decoding], Outputs], profile: config.Profile) -> dict[float, float]:
    """Return what a system scores on dev by the profile's yardstick, by the constant that it is decoded with.

    Args:
        evaluate: gives the system's outputs on dev under a decoding.
    """
    metric = getattr(metrics, profile.yardstick.metric)
    found = {}
    for constant in GRID:
        outputs = evaluate(decoding(profile.decoding, constant))
        found[constant] = float(metric.corpus(outputs.hypotheses, outputs.references, outputs.sources).value)
    return found


def chosen(evaluate: Callable[[config.Decoding], Outputs], profile: config.Profile) -> float:
    """Return the constant with which a system scores best on dev; arguments as in `on_dev`."""
    scored = on_dev(evaluate, profile)
    return max(scored, key=lambda constant: scored[constant])


def decoding(usual: config.Decoding, constant: float) -> config.Decoding:
    """Return greedy decoding with a constant against copying."""
    return replace(usual, temperature=0.0, against_copying=constant)
