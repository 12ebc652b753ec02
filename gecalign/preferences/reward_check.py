"""Is there anything to learn? What the rewards of a frozen policy's samples say before any training (chapter 5).

GRPO learns from differences within a group. Where all samples of a prompt earn the same, the advantages are
zero and the prompt teaches nothing; where the best of many samples is hardly better than the mean, there is
little to gain. Both can be measured in a minute, before hours are spent.

Everything works on an array of rewards, shape (prompts, n), n samples of the same policy for each prompt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]

GROUP_SIZES = (2, 4, 8, 16)
SAME = 1e-9  # rewards that differ by less are equal: what is left is rounding

# Verdict: above the first share of groups without spread most of what is sampled is thrown away, above the second
# nearly all of it; below the least headroom even a perfect choice among the samples would gain next to nothing.
SILENT_WARN, SILENT_FAIL = 0.5, 0.9
LEAST_HEADROOM = 0.01
AGREEMENT_LEVEL = 0.001  # two-sided: the two ways of sampling are the same way, so they should hardly ever differ


@dataclass(frozen=True, eq=False)
class RewardCheck:
    """Rewards of a frozen policy's samples, 0-1.

    Attributes:
        direct: of samples by `gecalign.models.decode`, shape (prompts, n).
        trainer: of samples that GRPO's trainer drew with learning rate 0, the same shape and order.
        greedy: of greedy decoding, shape (prompts,).
        reward: the expression that was computed.
    """

    direct: Array
    trainer: Array
    greedy: Array
    reward: str

    @property
    def difference(self) -> tuple[float, float]:
        """Mean reward of the direct way minus that of the trainer's, and its standard error over prompts."""
        paired = self.direct.mean(axis=1) - self.trainer.mean(axis=1)
        return float(paired.mean()), float(paired.std(ddof=1) / math.sqrt(len(paired)))

    @property
    def agree(self) -> bool:
        """Whether the two ways of sampling differ by no more than chance allows."""
        from scipy import stats

        mean, error = self.difference
        allowed = stats.t.isf(AGREEMENT_LEVEL / 2, len(self.direct) - 1)  # standard errors; more where prompts are few
        return bool(abs(mean) <= allowed * error + SAME)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether training on this reward is worth starting, and why, in words."""

    status: Literal["pass", "warn", "fail"]
    words: str


def by_group_size(rewards: npt.ArrayLike, sizes: Sequence[int] = GROUP_SIZES) -> pd.DataFrame:
    """Return what a group of c of the n samples would see, for each size c up to n.

    Columns: share of groups without spread (0-1), mean deviation within a group that has some (reward, c - 1 in the
    denominator), expected mean and best reward, and headroom, the difference of the two. Silence, mean and best are
    averages over all ways of drawing c of the n samples without replacement; the deviation is that of the first c.

    Raises:
        ValueError: the rewards are not of shape (prompts, n) with n of at least 2.
    """
    import pandas as pd

    rows = checked(rewards)
    n = rows.shape[1]
    table = {c: _at_size(rows, c) for c in sizes if c <= n}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(index="group size")


def verdict(rewards: npt.ArrayLike, group_size: int) -> Verdict:
    """Say whether groups of this size would learn from these rewards; see the thresholds above."""
    seen = by_group_size(rewards, (group_size,))
    if seen.empty:
        raise ValueError(
            f"the check has {checked(rewards).shape[1]} samples a prompt, too few for groups of {group_size}."
        )
    silent, headroom = float(seen["silent"].iloc[0]), float(seen["headroom"].iloc[0])
    facts = (
        f"{100 * silent:.0f} % of groups of {group_size} have no spread; the best of {group_size} samples lies "
        f"{headroom:.3f} above their mean."
    )
    if silent > SILENT_FAIL or headroom < LEAST_HEADROOM:
        why = (
            f"more than {SILENT_FAIL:.0%} without spread"
            if silent > SILENT_FAIL
            else f"headroom below {LEAST_HEADROOM}"
        )
        return Verdict("fail", f"{facts} There is next to nothing to learn ({why}): use prompts that SFT has not seen, "
                               "a warmer temperature, larger groups, or a finer reward.")  # fmt: skip
    if silent > SILENT_WARN:
        return Verdict("warn", f"{facts} Most samples will be thrown away (more than {SILENT_WARN:.0%} of the groups "
                               "without spread): larger groups or a warmer temperature would waste less.")  # fmt: skip
    return Verdict("pass", f"{facts} There is something to learn (at most {SILENT_WARN:.0%} without spread, headroom "
                           f"at least {LEAST_HEADROOM}).")  # fmt: skip


def checked(rewards: npt.ArrayLike) -> Array:
    """Return the rewards as an array of shape (prompts, n); raise `ValueError` where they are something else."""
    rows = np.asarray(rewards, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or not len(rows):
        raise ValueError(f"rewards have shape {rows.shape}; expected (prompts, n), n of at least 2 samples a prompt.")
    if not np.isfinite(rows).all():
        raise ValueError("some rewards are not finite numbers: mend the reward function before training on it.")
    return rows


def write(check: RewardCheck, path: Path) -> None:
    """Write a check as JSON."""
    columns = {name: np.round(getattr(check, name), 6).tolist() for name in ("direct", "trainer", "greedy")}
    path.write_text(json.dumps(columns | {"reward": check.reward}) + "\n", encoding="utf-8")


def read(path: Path) -> RewardCheck:
    """Read what `write` wrote."""
    record = json.loads(path.read_text(encoding="utf-8"))
    direct, trainer, greedy = (np.array(record[name]) for name in ("direct", "trainer", "greedy"))
    return RewardCheck(direct, trainer, greedy, record["reward"])


def _at_size(rows: Array, c: int) -> dict[str, float]:
    best = np.sort(rows, axis=1) @ _weights_of_the_best(rows.shape[1], c)
    silent = np.array([_chance_of_equal(row, c) for row in rows])
    mean = rows.mean(axis=1)
    return {
        "silent": float(silent.mean()),
        "deviation": _mean_deviation(rows, c),
        "mean": float(mean.mean()),
        "best": float(best.mean()),
        "headroom": float((best - mean).mean()),
    }


def _weights_of_the_best(n: int, c: int) -> Array:
    """Return the probability that the i-th smallest of n is the largest of c drawn: C(i - 1, c - 1) / C(n, c)."""
    return np.array([math.comb(i, c - 1) for i in range(n)]) / math.comb(n, c)


def _chance_of_equal(row: Array, c: int) -> float:
    """Return the probability that c samples drawn from the row all have the same reward."""
    ordered = np.sort(row)
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > SAME) + 1)
    return sum(math.comb(len(run), c) for run in runs) / math.comb(len(row), c)


def _mean_deviation(rows: Array, c: int) -> float:
    """Return the mean standard deviation of groups with some spread: the first c samples, which are any c."""
    deviations = rows[:, :c].std(axis=1, ddof=1)
    spread = deviations > SAME
    return float(deviations[spread].mean()) if spread.any() else 0.0
