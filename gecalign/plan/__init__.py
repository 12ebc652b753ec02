"""What a study will take, before anything is loaded: `plan.make(study)`.

- `steps`: what each product takes
- `sizes`: how many texts there are, and how long; `rates`: how fast this machine is
- `rendering`: a plan to be read in a terminal
"""

from gecalign.plan.steps import (
    LARGE as LARGE,
)
from gecalign.plan.steps import (
    Machine as Machine,
)
from gecalign.plan.steps import (
    Plan as Plan,
)
from gecalign.plan.steps import (
    Step as Step,
)
from gecalign.plan.steps import (
    by_system as by_system,
)
from gecalign.plan.steps import (
    gpu as gpu,
)
from gecalign.plan.steps import (
    make as make,
)
from gecalign.plan.steps import (
    this_machine as this_machine,
)
