"""Tokenised and ordinary text, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gecalign.corpus.tokens import detokenized, tokenized

BOTH = [
    ("So I think we can not live .", "So I think we can not live."),
    ("Thus , even today , it is so .", "Thus, even today, it is so."),
    ("I do n't know , and she 's here .", "I don't know, and she's here."),
    ("They 've gone ; we 'll see : now !", "They've gone; we'll see: now!"),
    ('He said , " yes " , and left .', 'He said, "yes", and left.'),
    ('" It is late . "', '"It is late."'),
    ("It costs $ 3.50 , or 12 % of 1,000 .", "It costs $3.50, or 12% of 1,000."),
    ("My parents ' house ( the old one ) is big .", "My parents' house (the old one) is big."),
    ("He/she is a well-known man ... Is he ?", "He/she is a well-known man... Is he?"),
    ("Mr. Smith came at 5:30 .", "Mr. Smith came at 5:30."),
]


@pytest.mark.parametrize(("tokens", "text"), BOTH)
def test_a_sentence_goes_there_and_back(tokens, text):
    assert detokenized(tokens) == text
    assert tokenized(text) == tokens


@pytest.mark.parametrize("quotes", [("``", "''"), ('"', '"')])
def test_quotes_of_each_kind_enclose(quotes):
    opening, closing = quotes
    assert detokenized(f"He said {opening} go {closing} and {opening} stay {closing} .") == 'He said "go" and "stay".'


@given(st.lists(st.sampled_from(["a", "dog", "runs", ",", ".", "?", "n't", "'s", "(", ")", '"', "3", "$"])))
def test_no_letter_is_lost_or_added(tokens):
    text = detokenized(" ".join(tokens))
    assert text.replace(" ", "") == "".join(tokens)
    assert tokenized(text).replace(" ", "") == "".join(tokens)


def test_ordinary_text_stays_what_it_is():
    for text in ("She doesn't go.", 'He said, "yes".', "It costs $3.50 (or so)."):
        assert detokenized(text) == text
