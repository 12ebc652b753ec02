"""Outputs compared, said in words, drawn: `report.build` for whoever trains nothing here.

- `comparing`: several systems by every yardstick; `html`: the same as one page
- `plots`: figures; `beside`: one run beside those of the record; `markup`: edits made visible
"""

from gecalign.report.comparing import (
    COPY,
    Inputs,
    Report,
    behaviour_table,
    build,
    difference_table,
    equivalence_table,
    find,
    luck_words,
    method_words,
    named,
    p_text,
    read,
    score_table,
    to_dict,
    to_text,
    visible_table,
    visible_words,
)

__all__ = [
    "COPY", "Inputs", "Report", "behaviour_table", "build", "difference_table", "equivalence_table", "find",
    "luck_words", "method_words", "named", "p_text", "read", "score_table", "to_dict", "to_text", "visible_table",
    "visible_words",
]  # fmt: skip
