"""How a run is set up: how models are asked, and where, from what and by what means one is trained.

What travels through every training together is one thing here, so that the methods differ by what they differ in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gecalign import config
from gecalign.corpus.examples import Example


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked for texts: the prompt, the decoding, the means of computing, the seed of what is drawn."""

    prompt: config.Prompt = field(default_factory=config.Prompt)
    decoding: config.Decoding = field(default_factory=config.Decoding)
    engine: config.Engine = field(default_factory=config.Engine)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One training: where it writes, how its model is asked, what it is measured on, which weights it trains.

    Attributes:
        folder: gets `model/`, `log.csv` and, until the end, `checkpoints/`.
        dev: what checkpoints are measured on, by BLEU and, where that is another metric, the yardstick.
        lora: adapters, or rank 0: all weights.
        yardstick: the metric by which the best checkpoint is chosen.
        start_score: what the start scores on dev by the yardstick, where that is known (`health` compares with it).
    """

    folder: Path
    asking: Asking = field(default_factory=Asking)
    dev: Sequence[Example] = ()
    lora: config.LoRA = field(default_factory=config.LoRA)
    yardstick: str = "bleu"
    start_score: float | None = None

    @property
    def seed(self) -> int:
        """The seed, which covers the order of the rows and what is drawn."""
        return self.asking.seed

    @property
    def engine(self) -> config.Engine:
        """By what means it computes."""
        return self.asking.engine
