"""The study: its stages, its systems, several seeds of it, and what is kept of them.

`from gecalign.study import Study` is where everything starts.

- `stages`: a profile with one seed; ask it for a product, and it makes what is missing
- `trained`: how each trained system is made; `evaluation`: what a system writes, and scores
- `multiseed`: all systems over several seeds; `results`: the record that is kept of them
- `pieces`: the same in parts, of a study that takes hours or several machines
- `trials`: the experiment log; `designs`, `sweep`: group sizes
- `constant`: systems that are another one, decoded with a constant against copying
- `accounts`, `diagnostics`, `mistakes`, `tables`: what runs cost, what goes on inside them, what is done wrong on
  purpose, and how results are shown
- `ledger`: what was predicted before anything was scored on test, and what came of it
- `existing`: what has been made already
"""

from gecalign.study import trained  # which declares how each system is made
from gecalign.study.stages import Study

__all__ = ["Study", "trained"]
