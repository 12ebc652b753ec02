"""Outputs compared, said in words, drawn: `report.build` for whoever trains nothing here.

- `comparing`: several systems by every yardstick; `verdicts`: what that says of each; `inputs`: what is compared
- `words`, `html`: a report in words and tables, and as one page (`page.html.jinja`)
- `plots`: figures; `beside`: one run beside those of the record; `markup`: edits made visible
"""

from gecalign.report.comparing import Report, Settings, build
from gecalign.report.inputs import COPY, Inputs, find, named, read
from gecalign.report.verdicts import p_text
from gecalign.report.words import (
    behaviour_table,
    difference_table,
    equivalence_table,
    luck_words,
    method_words,
    score_table,
    to_dict,
    to_text,
    visible_table,
    visible_words,
)

__all__ = [
    "COPY", "Inputs", "Report", "Settings", "behaviour_table", "build", "difference_table", "equivalence_table", "find",
    "luck_words", "method_words", "named", "p_text", "read", "score_table", "to_dict", "to_text", "visible_table",
    "visible_words",
]  # fmt: skip
