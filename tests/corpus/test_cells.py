import numpy as np
import pandas as pd
import pytest

from gecalign.corpus.cells import flag, identity

MISSING = [None, "", " ", "nan", "NaN", "None", "null", "NULL", "<NA>", "N/A", float("nan"), np.nan, pd.NA, pd.NaT]


@pytest.mark.parametrize("value", MISSING)
def test_what_programs_write_for_nothing_is_no_id(value):
    assert identity(value) is None


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", " 1 "])
def test_an_id_is_the_same_however_a_program_wrote_it(value):
    assert identity(value) == "1"


@pytest.mark.parametrize(("one", "other"), [("1.1", "1.10"), ("01", "1"), ("1", "-1"), ("a", "A"), ("1.0.0", "1.0")])
def test_ids_that_only_look_alike_are_two(one, other):
    assert identity(one) != identity(other)


@pytest.mark.parametrize("value", [True, "True", "true", "TRUE", 1, 1.0, "1", "1.0", "yes", " True "])
def test_true_is_true_in_every_spelling(value):
    assert flag(value, "") is True


@pytest.mark.parametrize("value", [False, "False", "false", "FALSE", 0, 0.0, "0", "0.0", "no", "No"])
def test_false_is_false_in_every_spelling(value):
    assert flag(value, "") is False


@pytest.mark.parametrize("value", [None, "", "nan", float("nan"), 2, -1, "maybe", "stop", [], {}])
def test_what_is_neither_is_refused_with_its_place(value):
    with pytest.raises(ValueError, match=r"^row 3 of f has as truncated .*expected true or false"):
        flag(value, "row 3 of f has as truncated")
