"""The constant against copying: where the pointer is, what is taken off, and what that does to outputs."""

from __future__ import annotations

import factories
import pytest
import torch

from gecalign import prompts
from gecalign.config import Decoding, Model, Prompt
from gecalign.models import loading
from gecalign.models.copying import AgainstCopying
from gecalign.models.decode import decode

SOURCE = [5, 6, 7, 8, 9, 6]


def pointer_after(written: list[int]) -> int:
    """Write tokens one by one, and return where the pointer stands."""
    against = AgainstCopying([SOURCE], 1.0)
    for last in [[], *([token] for token in written)]:
        against([0], [last], torch.zeros(1, 12))
    return against.pointers[0]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], 0),
        ([5], 1),
        ([5, 6, 7, 8, 9, 6], 6),  # all copied
        ([5, 11], 1),  # another token in place of the next one: the pointer stays
        ([5, 11, 7], 3),  # ... and finds the one behind it
        ([8], 4),  # three left out
        ([9], 0),  # four left out are too many
        ([5, 6, 6], 6),  # a token that stands twice is found where it comes next
        ([5, 6, 5], 2),  # what lies behind is not copied again
        ([5, 6, 7, 8, 9, 6, 5], 6),  # behind the end nothing is copied any more
    ],
)
def test_the_pointer_stands_behind_the_last_token_that_was_copied(written, expected):
    assert pointer_after(written) == expected


def test_the_constant_is_taken_off_the_next_token_of_each_row_and_no_other():
    against = AgainstCopying([[3, 4], [7], []], 2.0)
    scores = torch.ones(3, 10)
    changed = against([0, 1, 2], [[], [], []], scores.clone()) - scores
    expected = torch.zeros(3, 10)
    expected[0, 3] = expected[1, 7] = -2.0
    assert torch.equal(changed, expected)
    changed = against([0, 1, 2], [[3], [7], [9]], scores.clone()) - scores
    expected = torch.zeros(3, 10)
    expected[0, 4] = -2.0  # the second row has copied all of its source
    assert torch.equal(changed, expected)


def test_rows_that_left_the_batch_are_forgotten():
    against = AgainstCopying([[3, 4], [7], [8, 9]], 2.0)
    changed = against([2, 0], [[8], [3]], torch.zeros(2, 10))
    assert changed.nonzero().tolist() == [[0, 9], [1, 4]]


@pytest.fixture(scope="module")
def asked():
    examples = factories.examples(6)
    return [prompts.render(Prompt(), e.source) for e in examples], [prompts.completion(e.source) for e in examples]


def written(asked, constant: float, **changes) -> list[str]:
    texts, sources = asked
    how = Decoding(max_new_tokens=24, against_copying=constant, **changes)
    return [one.text for (one,) in decode(loading.load(Model()), texts, how, sources=sources)]


def test_nothing_is_changed_at_0_and_a_large_constant_forbids_or_forces_copies(asked):
    plain = [one.text for (one,) in decode(loading.load(Model()), asked[0], Decoding(max_new_tokens=24))]
    assert written(asked, 0.0) == plain
    forced, forbidden = written(asked, -50.0), written(asked, 50.0)
    assert [text.startswith(source) for text, source in zip(forced, asked[1], strict=True)] == [True] * 6
    assert not any(text.split()[:1] == source.split()[:1] for text, source in zip(forbidden, asked[1], strict=True))


def test_batches_do_not_change_what_is_written(asked):
    assert written(asked, 1.0) == written(asked, 1.0, batch_tokens=100)


@pytest.mark.parametrize(("changes", "sources"), [({"temperature": 0.7}, True), ({}, False)])
def test_it_is_for_greedy_decoding_of_known_sentences(asked, changes, sources):
    how = Decoding(against_copying=1.0, **changes)
    with pytest.raises(
        ValueError, match="decoding__against_copying is for greedy decoding of sentences that are known"
    ):
        decode(loading.load(Model()), asked[0], how, sources=asked[1] if sources else None)
