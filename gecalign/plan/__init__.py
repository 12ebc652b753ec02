"""What a study will take, before anything is loaded: `plan.make(study)`.

- `steps`: all that a study makes, and how much of what each product takes
- `costs`: what a training or a number of texts takes in memory, time and disk
- `sizes`: how many texts there are, and how long; `machines`, `rates`: what is planned for, and how fast it is
- `rendering`: a plan to be read in a terminal
"""

from gecalign.plan.costs import Step
from gecalign.plan.machines import Machine, gpu, this_machine
from gecalign.plan.steps import LARGE, Plan, by_system, make

__all__ = ["LARGE", "Machine", "Plan", "Step", "by_system", "gpu", "make", "this_machine"]
