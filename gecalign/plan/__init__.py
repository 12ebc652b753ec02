"""What a study will take, before anything is loaded: `plan.make(study)`.

- `steps`: what each product takes
- `sizes`: how many texts there are, and how long; `rates`: how fast this machine is
- `rendering`: a plan to be read in a terminal
"""

from gecalign.plan.steps import LARGE, Machine, Plan, Step, by_system, gpu, make, this_machine

__all__ = ["LARGE", "Machine", "Plan", "Step", "by_system", "gpu", "make", "this_machine"]
