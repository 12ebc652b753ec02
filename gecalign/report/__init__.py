"""Outputs compared, said in words, drawn: `report.build` for whoever trains nothing here.

- `comparing`: several systems by every yardstick; `html`: the same as one page
- `plots`: figures; `beside`: one run beside those of the record; `markup`: edits made visible
"""

from gecalign.report.comparing import (
    COPY as COPY,
)
from gecalign.report.comparing import (
    Inputs as Inputs,
)
from gecalign.report.comparing import (
    Report as Report,
)
from gecalign.report.comparing import (
    behaviour_table as behaviour_table,
)
from gecalign.report.comparing import (
    build as build,
)
from gecalign.report.comparing import (
    difference_table as difference_table,
)
from gecalign.report.comparing import (
    equivalence_table as equivalence_table,
)
from gecalign.report.comparing import (
    find as find,
)
from gecalign.report.comparing import (
    luck_words as luck_words,
)
from gecalign.report.comparing import (
    method_words as method_words,
)
from gecalign.report.comparing import (
    named as named,
)
from gecalign.report.comparing import (
    p_text as p_text,
)
from gecalign.report.comparing import (
    read as read,
)
from gecalign.report.comparing import (
    score_table as score_table,
)
from gecalign.report.comparing import (
    to_dict as to_dict,
)
from gecalign.report.comparing import (
    to_text as to_text,
)
from gecalign.report.comparing import (
    visible_table as visible_table,
)
from gecalign.report.comparing import (
    visible_words as visible_words,
)
