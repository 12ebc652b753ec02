import math
import re
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from gecalign.corpus.edits import apply_edits
from gecalign.corpus.tinygec.annotators import careful, hasty
from gecalign.corpus.tinygec.errors import model as errors
from gecalign.corpus.tinygec.errors.changes import Change, clashes, spoils_article, write
from gecalign.corpus.tinygec.grammar.sentences import sentence
from gecalign.corpus.tinygec.lexicon.tokens import Token, detokenize

SENTENCES = 10_000
# Every type of ERRANT but UNK (Bryant et al. 2017, table 2; noun and verb inflection from ERRANT's own list).
ERRANT_TYPES = {
    "ADJ", "ADJ:FORM", "ADV", "CONJ", "CONTR", "DET", "MORPH", "NOUN", "NOUN:INFL", "NOUN:NUM", "NOUN:POSS",
    "ORTH", "OTHER", "PART", "PREP", "PRON", "PUNCT", "SPELL", "VERB", "VERB:FORM", "VERB:INFL", "VERB:SVA",
    "VERB:TENSE", "WO",
}  # fmt: skip


@pytest.fixture(scope="module")
def corrupted():
    """(reference, source, edits) of many sentences."""
    rng = Random("test_errors")
    clean = [sentence(rng) for _ in range(SENTENCES)]
    return [(detokenize(tokens), *errors.corrupt(tokens, rng)) for tokens in clean]


@pytest.fixture(scope="module")
def all_edits(corrupted):
    return [(source, edit) for _, source, edits in corrupted for edit in edits]


# ---------------------------------------------------------------- what holds for every sentence


def test_edits_restore_the_clean_sentence(corrupted):
    assert all(apply_edits(source, edits) == reference for reference, source, edits in corrupted)


def test_edits_stand_in_order_with_an_untouched_token_between_them(corrupted):
    for _, _, edits in corrupted:
        assert all(one.end < two.start for one, two in pairwise(edits))


def test_sentences_without_edits_are_clean_and_all_others_are_not(corrupted):
    assert all((source == reference) == (not edits) for reference, source, edits in corrupted)


def test_every_edit_changes_something(all_edits):
    assert all(source[edit.start : edit.end] != edit.replacement for source, edit in all_edits)


def test_edits_begin_and_end_between_words(all_edits):
    for source, edit in all_edits:
        if edit.type == "CONTR":  # what is wrong there is the joint: "did|nt"
            continue
        for place in (edit.start, edit.end):
            around = source[max(0, place - 1) : place + 1]
            assert not re.fullmatch(r"\w\w", around) or source[place : place + 3] == "n't", (source, edit)


def test_types_are_errants(all_edits):
    assert {edit.type for _, edit in all_edits} <= errors.TYPES == ERRANT_TYPES


def test_texts_are_spaced_like_text(corrupted):
    for reference, source, _ in corrupted:
        for text in (reference, source):
            assert text == text.strip()
            assert not re.search(r"\s\s|\s[,.?!]", text), text


def test_the_same_stream_gives_the_same_errors():
    tokens = sentence(Random(5))
    assert [errors.corrupt(tokens, Random(seed)) for seed in range(20)] == [
        errors.corrupt(tokens, Random(seed)) for seed in range(20)
    ]


# ---------------------------------------------------------------- calibration

# Differences that chance alone makes in 10,000 sentences (four standard errors) are at most 0.08 edits a
# sentence, 2 points of clean sentences and 1.2 points of PUNCT, the largest type; what is allowed beyond is
# for words added to the lexicon after the weights were fitted.


def test_number_of_edits_is_the_real_one(corrupted):
    mean = sum(len(edits) for _, _, edits in corrupted) / SENTENCES
    assert mean == pytest.approx(errors.REAL_EDITS_PER_SENTENCE, abs=0.12)


def test_share_of_clean_sentences_is_the_real_one(corrupted):
    clean = sum(not edits for _, _, edits in corrupted) / SENTENCES
    assert clean == pytest.approx(errors.REAL_CLEAN_SHARE, abs=0.03)


@pytest.mark.parametrize("error_type", sorted(errors.REAL_SHARES.keys() - {"OTHER"}))
def test_share_of_each_type_is_the_real_one(all_edits, error_type):
    share = 100 * sum(edit.type == error_type for _, edit in all_edits) / len(all_edits)
    assert share == pytest.approx(errors.REAL_SHARES[error_type], abs=2.0)


def test_there_are_fewer_mixed_errors_than_in_reality_but_not_few(all_edits):
    share = 100 * sum(edit.type == "OTHER" for _, edit in all_edits) / len(all_edits)
    assert 7 < share < errors.REAL_SHARES["OTHER"]


def test_every_type_occurs(all_edits):
    assert {edit.type for _, edit in all_edits} == errors.TYPES


@pytest.mark.parametrize("operation", errors.REAL_OPERATIONS)
def test_share_of_each_operation_is_the_real_one(all_edits, operation):
    share = 100 * sum(errors.operation(source, edit) == operation for source, edit in all_edits) / len(all_edits)
    assert share == pytest.approx(errors.REAL_OPERATIONS[operation], abs=3.0)


def test_published_shares_add_up_to_what_the_table_covers():
    # The 15 published types cover 91.7 % of the edits of BEA-2019 dev.
    assert sum(errors.REAL_SHARES.values()) == pytest.approx(91.7)
    assert sum(errors.TARGET_SHARES.values()) == pytest.approx(100)


def test_every_rule_has_a_weight_and_a_share():
    assert errors.RULES.keys() == errors.TYPE_OF.keys() == errors.weights().keys()


def test_longer_sentences_get_more_errors():
    def mean(words):
        return sum(errors.error_count(words, Random(seed)) for seed in range(4000)) / 4000

    assert mean(5) < mean(10) < mean(20)


# ---------------------------------------------------------------- single rules


CATEGORIES = {
    "NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "VB": "VERB", "VBZ": "VERB", "VBP": "VERB", "VBD": "VERB",
    "VBG": "VERB", "BE": "AUX", "JJ": "ADJ", "RB": "ADV", "NOT": "PART", "IN": "ADP", "DT": "DET",
    "PRP": "PRON", "CD": "NUM", "WRB": "ADV", ".": "PUNCT",
}  # fmt: skip


def tokens_of(text: str) -> list[Token]:
    """Read "text/lemma/tag/feature+feature ..."; without a lemma it is the text in lower case."""
    tokens = []
    for item in text.split():
        surface, lemma, tag, features = (*item.split("/"), "")[:4]
        glued = tag in (".", "NOT")
        names = frozenset(filter(None, features.split("+")))
        penn = {"BE": "VBZ", "NOT": "RB"}.get(tag, tag)
        tokens.append(Token(surface, lemma or surface.lower(), CATEGORIES[tag], penn, glued, names))
    return tokens


HE = "He//PRP/subject+refers:he"
SLEEPS = "sleeps/sleep/VBZ/finite+agreement:3s"
WENT = "went/go/VBD/finite+agreement:3s"
DOG = "dog//NN/countable"
ONE_RULE = [
    ("subject_verb_agreement", f"{HE} {SLEEPS} .//.", "He sleep."),
    ("present_for_past", f"{HE} {WENT}+cue:past home//RB yesterday//RB .//.", "He goes home yesterday."),
    ("missing_indefinite", f"{HE} has/have/VBZ a//DT {DOG} .//.", "He has dog."),
    ("missing_definite", f"The//DT {DOG} {SLEEPS} .//.", "Dog sleeps."),
    ("unneeded_definite", f"Anna/Anna/NNP/person {SLEEPS} .//.", "The Anna sleeps."),
    ("regular_plural", "The//DT children/child/NNS/countable sleep//VBP .//.", "The childs sleep."),
    ("plural_lost", f"{HE} has/have/VBZ two//CD dogs/dog/NNS/countable .//.", "He has two dog."),
    ("regular_past", f"{HE} {WENT} home//RB .//.", "He goed home."),
    ("missing_preposition", f"{HE} listens/listen/VBZ to//IN/governed me//PRP .//.", "He listens me."),
    ("missing_be", f"{HE} is/be/BE/finite+agreement:3s very//RB tired//JJ .//.", "He very tired."),
    ("lower_case", "I/I/PRP sleep//VBP .//.", "i sleep."),
    ("lower_case_start", f"{HE} {SLEEPS} .//.", "he sleeps."),
    ("missing_final_mark", f"{HE} {SLEEPS} .//.", "He sleeps"),
    ("missing_apostrophe", f"{HE} does/do/BE n't/not/NOT/negation sleep//VB .//.", "He doesnt sleep."),
    ("missing_pronoun", "It//PRP/subject rains/rain/VBZ .//.", "Rains."),
    (
        "before_for_ago",
        "Two//CD days/day/NNS ago//RB he//PRP slept/sleep/VBD .//.",
        "Before two days he slept.",
    ),
    (
        "question_order",
        "Where//WRB is/be/BE/finite+agreement:3s she//PRP/subject going/go/VBG ?//.",
        "Where she is going?",
    ),
    ("adjective_order", f"{HE} has/have/VBZ a//DT red//JJ {DOG} .//.", "He has a dog red."),
]


@pytest.mark.parametrize(("rule", "clean", "wrong"), ONE_RULE, ids=[case[0] for case in ONE_RULE])
def test_rule_writes_the_error_that_it_is_named_for(rule, clean, wrong):
    tokens = tokens_of(clean)
    changes = [errors.RULES[rule](tokens, index, Random(0)) for index in range(len(tokens))]
    written = [write(tokens, [(errors.TYPE_OF[rule], change)]) for change in changes if change]
    assert wrong in [source for source, _ in written]
    assert all(apply_edits(source, edits) == detokenize(tokens) for source, edits in written)


def test_number_is_lost_only_where_the_sentence_still_shows_it():
    tokens = tokens_of("The//DT dogs/dog/NNS/countable slept/sleep/VBD .//.")
    assert not any(errors.RULES["plural_lost"](tokens, index, Random(0)) for index in range(len(tokens)))


def test_tense_is_changed_only_where_the_sentence_still_shows_it():
    tokens = tokens_of(f"{HE} {WENT} home//RB .//.")
    assert not any(errors.RULES["present_for_past"](tokens, index, Random(0)) for index in range(len(tokens)))


def test_an_error_may_not_touch_what_shows_that_another_is_one():
    number = Change(3, 4, (("book", False),), needs=(1,))  # two red book
    numeral, adjective, later = Change(1, 2, ()), Change(2, 3, ()), Change(5, 6, ())
    assert clashes(number, numeral)
    assert clashes(numeral, number)
    assert clashes(number, adjective)  # for another reason: they touch
    assert not clashes(number, later)


def test_a_change_that_would_ask_for_another_article_is_noticed():
    tokens = tokens_of(f"{HE} is/be/BE an//DT old//JJ man//NN .//.")
    assert spoils_article(tokens, Change(3, 4, ()))
    assert not spoils_article(tokens, Change(3, 4, (("aged", False),)))


# ---------------------------------------------------------------- annotators


def test_the_careful_annotator_corrects_everything(corrupted):
    assert all(careful(edits) == edits for _, _, edits in corrupted[:100])


def test_the_hasty_annotator_misses_as_many_as_she_is_asked_to(all_edits):
    edits = [edit for _, edit in all_edits]
    made = len(hasty(edits, Random(1), 0.3))
    # four standard errors of a binomial share
    assert made / len(edits) == pytest.approx(0.7, abs=4 * math.sqrt(0.3 * 0.7 / len(edits)))


def test_the_hasty_annotator_can_miss_by_type(all_edits):
    edits = [edit for _, edit in all_edits]
    asked = Counter(edit.type for edit in edits)
    made = Counter(edit.type for edit in hasty(edits, Random(2), {"DET": 0.5, "SPELL": 1.0}))
    assert made["DET"] / asked["DET"] == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(asked["DET"]))
    assert made["SPELL"] == 0
    assert all(made[error_type] == asked[error_type] for error_type in asked.keys() - {"DET", "SPELL"})


def test_missing_nothing_is_careful_and_missing_everything_leaves_the_source(corrupted):
    for _, source, edits in corrupted[:200]:
        assert hasty(edits, Random(3), 0.0) == edits
        assert apply_edits(source, hasty(edits, Random(3), 1.0)) == source


def test_a_hastier_annotator_only_misses_more(corrupted):
    for _, _, edits in corrupted[:500]:
        assert set(hasty(edits, Random(4), 0.6)) <= set(hasty(edits, Random(4), 0.3))


def test_a_sentence_corrected_in_part_is_spaced_like_text(corrupted):
    for position, (_, source, edits) in enumerate(corrupted):
        text = apply_edits(source, hasty(edits, Random(position), 0.5))
        assert text == text.strip()
        assert not re.search(r"\s\s|\s[,.?!]", text), text


@pytest.mark.parametrize("miss", [-0.1, 1.1, float("nan"), {"DET": 2.0}])
def test_a_rate_that_is_no_probability_is_refused(miss):
    with pytest.raises(ValueError, match="probability between 0 and 1"):
        hasty((), Random(0), miss)


def test_an_unknown_error_type_is_refused_by_name():
    with pytest.raises(ValueError, match="GRAMMAR"):
        hasty((), Random(0), {"GRAMMAR": 0.5})
