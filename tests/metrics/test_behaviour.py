"""Behaviour of a system, sentence by sentence, on examples made for each flag."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gecalign.metrics.behaviour import behaviour, rates, repetition_loops


def test_each_flag_marks_its_sentences_and_no_others():
    rows = [  # hypothesis, reference, source
        ("She go.", "She goes.", "She go."),  # copied
        ("She goes.", "She goes.", "She go."),  # exact
        ("", "She goes.", "She go."),  # empty
        ("Fine.", "Fine.", "Fine."),  # clean and left alone: copied and exact
        ("Fined.", "Fine.", "Fine."),  # clean and changed
        ("She she she she goes.", "She goes.", "She go."),  # a loop
    ]
    found = behaviour(*zip(*rows, strict=True), truncated=[False] * 5 + [True])
    assert found.copied.tolist() == [True, False, False, True, False, False]
    assert found.exact.tolist() == [False, True, False, True, False, False]
    assert found.empty.tolist() == [False, False, True, False, False, False]
    assert found.clean.tolist() == [False, False, False, True, True, False]
    assert found.over_corrected.tolist() == [False, False, False, False, True, False]
    assert found.looped.tolist() == [False] * 5 + [True]
    assert found.truncated.tolist() == [False] * 5 + [True]
    assert found.length_ratio.tolist() == [1, 1, 0, 1, 1, 2]


def test_over_correction_is_a_share_of_the_clean_sentences():
    found = rates(behaviour(["a b", "c", "d"], ["a", "c", "e"], ["a", "c", "f"]))
    assert found.clean == pytest.approx(2 / 3)
    assert found.over_corrected == pytest.approx(1 / 2)


def test_rates_without_a_denominator_are_not_a_number():
    found = rates(behaviour(["a"], ["b"], ["c"]))
    assert math.isnan(found.over_corrected)
    assert math.isnan(found.truncated)


def test_any_of_several_references_makes_a_hypothesis_exact_and_a_source_clean():
    found = behaviour(["b", "a"], [["a", "b"], ["a", "b"]], ["b", "c"])
    assert found.exact.tolist() == [True, True]
    assert found.clean.tolist() == [True, False]


def test_length_ratio_takes_the_mean_length_of_several_references():
    assert behaviour(["a b c"], [["a", "a b c"]], ["a"]).length_ratio.tolist() == [1.5]


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", set()),
        ("very very good", set()),  # twice is no loop
        ("very very very good", {("very",)}),
        ("I like to like to like to sing", {("like", "to")}),
        ("to like to like to like", {("like", "to")}),  # the same loop, entered elsewhere
        ("like to like , to like to", set()),  # interrupted
        ("wait ...", set()),  # mere punctuation
        ("well , well , well ,", {(",", "well")}),
        ("a b c d e f g h " * 3, {tuple("abcdefgh")}),  # eight words, the longest
        ("a b c d e f g h i " * 3, set()),  # nine
    ],
)
def test_loops_are_ngrams_of_up_to_eight_words_three_times_in_a_row(text, loops):
    assert repetition_loops(text) == loops


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("times", [2, 3])
def test_a_loop_of_every_size_needs_three_times(size, times):
    block = [f"w{i}" for i in range(size)]
    text = " ".join(["before", *block * times, "after"])
    assert repetition_loops(text) == ({tuple(block)} if times == 3 else set())


def test_a_loop_that_the_source_has_is_not_the_systems():
    source = "no no no I say"
    assert behaviour(["no no no I say ."], ["No ."], [source]).looped.tolist() == [False]
    assert behaviour(["no no no say say say ."], ["No ."], [source]).looped.tolist() == [True]


def test_flags_of_the_decoder_must_match_the_hypotheses():
    with pytest.raises(ValueError, match="truncated has 1 entries and hypotheses has 2"):
        behaviour(["a", "b"], ["a", "b"], ["a", "b"], truncated=[True])


def test_arrays_have_one_entry_a_sentence():
    found = behaviour(["a", "b"], ["a", "b"], ["a", "b"])
    assert all(np.shape(getattr(found, name)) == (2,) for name in ("copied", "looped", "length_ratio"))
