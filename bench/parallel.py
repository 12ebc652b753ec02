"""Seeds one after the other with all cores, or side by side with one core each: which is faster?

    python bench/parallel.py

Both ways make the same: SFT, samples, pairs, DPO and GRPO, shortened, for as many seeds as there are cores, in fresh
folders. `gecalign study` does by default what this says is faster on two cores. Run it while nothing else runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

CORES = os.cpu_count() or 1
SHORT = {
    "sft.steps": 60, "sft.evaluations": 1, "pairs.prompts": 400, "dpo.evaluations": 1, "grpo.steps": 10,
    "grpo.evaluations": 1, "data.train_rows": 4000, "data.preference_rows": 400,
}  # fmt: skip


def command(seed: int, what: str) -> list[str]:
    """Return the command that makes a product of the shortened study."""
    changes = [argument for name, value in SHORT.items() for argument in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "gecalign", "run", what, "--seed", str(seed), *changes]


def seconds(side_by_side: bool) -> float:
    """Return the wall time of all seeds in one of the two ways."""
    threads = 1 if side_by_side else CORES
    with tempfile.TemporaryDirectory() as runs:
        environment = {**os.environ, "GECALIGN_RUNS": runs, "OMP_NUM_THREADS": str(threads)}
        quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command(0, "data"), check=True, **quiet)  # shared by all seeds, so not timed
        start = time.perf_counter()
        for what in ("dpo", "grpo"):
            running = []
            for seed in range(CORES):
                running.append(subprocess.Popen(command(seed, what), **quiet))
                if not side_by_side:
                    running[-1].wait()
            if any(process.wait() for process in running):
                raise RuntimeError("a run failed; run `gecalign run dpo` to see why.")
        return time.perf_counter() - start


def main() -> None:
    """Print both times and their ratio."""
    one_by_one, side_by_side = seconds(side_by_side=False), seconds(side_by_side=True)
    print(f"{CORES} seeds on {CORES} cores, one after the other:  {one_by_one:.0f} s")
    print(f"{CORES} seeds on {CORES} cores, side by side:         {side_by_side:.0f} s")
    print(f"ratio {one_by_one / side_by_side:.2f}")


if __name__ == "__main__":
    main()
