import pytest

from gecalign.corpus.edits import Edit, apply_edits


def test_edits_are_applied_whatever_order_they_come_in():
    source = "he go to home"
    edits = [Edit(6, 9, "", "PREP"), Edit(0, 2, "He", "ORTH"), Edit(3, 5, "goes", "VERB:SVA")]
    assert apply_edits(source, edits) == apply_edits(source, edits[::-1]) == "He goes home"


def test_no_edits_leave_the_source_as_it_is():
    assert apply_edits("She sleeps.", []) == "She sleeps."


def test_an_insertion_may_touch_the_edit_after_it():
    assert apply_edits("see dog", [Edit(3, 3, " the", "DET"), Edit(4, 7, "dogs", "NOUN:NUM")]) == "see the dogs"


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(0, 3, "a", "DET"), Edit(2, 4, "b", "DET")],  # overlap
        [Edit(0, 6, "a", "DET")],  # past the end
        [Edit(-1, 2, "a", "DET")],  # before the beginning
        [Edit(3, 2, "a", "DET")],  # ends before it starts
    ],
)
def test_edits_that_do_not_fit_the_source_are_refused(edits):
    with pytest.raises(ValueError, match="does not fit"):
        apply_edits("abcde", edits)
