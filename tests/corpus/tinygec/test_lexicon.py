"""The words of TinyGEC: size, classes, inflected forms, patterns that can all be read."""

from random import Random

import pytest

from gecalign.corpus.tinygec.chance import choose, draw, happens, shuffled
from gecalign.corpus.tinygec.grammar.clauses import frames, passives, things
from gecalign.corpus.tinygec.grammar.phrases import compiled
from gecalign.corpus.tinygec.lexicon.entries import compares_by_ending, inflect, lexicon, nouns, tags, words
from gecalign.corpus.tinygec.lexicon.words import takes_an


def lemmas() -> set[str]:
    """Every lemma of the data file: words of patterns and classes, names aside, and the verbs of frames."""
    return set(tags()) | {frame.verb for frame in (*frames(), *things(), *passives())}


def patterns() -> list[str]:
    """Every pattern of the data file that is written out as it stands."""
    listed = [pattern for table in ("time", "postmodifiers") for key in lexicon()[table].values() for pattern in key]
    return listed + [frame.complement for frame in (*frames(), *things(), *passives())]


def test_the_lexicon_has_500_lemmas_at_least():
    assert len(lemmas()) >= 500


def test_every_pattern_of_the_lexicon_can_be_read():
    assert all(compiled(pattern) is not None for pattern in patterns())


def test_a_pattern_with_an_unknown_word_says_what_to_do():
    with pytest.raises(ValueError, match=r"'qwerty' in a pattern .* write it as qwerty/TAG"):
        compiled("the qwerty")


def test_an_unknown_class_of_nouns_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no noun class 'fruits': expected one of fruit"):
        nouns("fruits")


def test_classes_can_be_united():
    assert nouns("fruit+snack") == nouns("fruit") + nouns("snack")


# Forms as the American Heritage Dictionary gives them (https://ahdictionary.com).
@pytest.mark.parametrize(
    ("lemma", "tag", "form"),
    [
        ("go", "VBD", "went"), ("write", "VBN", "written"), ("stop", "VBG", "stopping"),
        ("visit", "VBG", "visiting"), ("travel", "VBD", "traveled"), ("cancel", "VBN", "canceled"),
        ("wake", "VBN", "woken"), ("get", "VBN", "gotten"), ("lie", "NNS", "lies"),
        ("study", "VBZ", "studies"), ("play", "VBZ", "plays"), ("watch", "VBZ", "watches"),
        ("child", "NNS", "children"), ("knife", "NNS", "knives"), ("potato", "NNS", "potatoes"),
        ("photo", "NNS", "photos"), ("shorts", "NNS", "shorts"), ("sheep", "NNS", "sheep"),
        ("good", "JJR", "better"), ("bad", "JJS", "worst"), ("big", "JJR", "bigger"),
        ("happy", "JJS", "happiest"), ("learn", "VBD", "learned"), ("have", "VBZ", "has"),
    ],
)  # fmt: skip
def test_forms_are_those_of_the_dictionary(lemma, tag, form):
    assert inflect(lemma, tag) == form


def test_a_form_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="no form XYZ of 'go' is known: expected a Penn tag"):
        inflect("go", "XYZ")


def test_short_adjectives_compare_by_ending_and_long_ones_by_more():
    assert compares_by_ending("tall")
    assert compares_by_ending("friendly")
    assert not compares_by_ending("expensive")


def test_every_adjective_of_a_comparison_says_how_it_compares():
    """One syllable, or two with -y: by ending; the rest by "more" (Quirk et al. 1985, sections 7.81-82)."""
    adjectives = {word for key in lexicon()["comparisons"] for word in words("comparisons", key)}
    long = {word for word in adjectives if not compares_by_ending(word)}
    assert not {word for word in long if len(word) <= 4}
    assert all(compares_by_ending(word) for word in adjectives if word.endswith("y"))


# Sounds after Merriam-Webster's guide to "a" and "an".
@pytest.mark.parametrize("text", ["apple", "hour", "umbrella", "honest", "eight", "old", "exam", "omelet"])
def test_a_vowel_sound_takes_an(text):
    assert takes_an(text)


@pytest.mark.parametrize("text", ["university", "useful", "European", "house", "yellow", "one", "unit", "big"])
def test_a_consonant_sound_takes_a(text):
    assert not takes_an(text)


def test_choices_follow_their_weights():
    rng = Random(0)
    drawn = [choose(rng, "ab", [1, 3]) for _ in range(4000)]
    assert drawn.count("b") / 4000 == pytest.approx(0.75, abs=0.03)  # 3 / (1 + 3); 4 standard errors
    assert {choose(rng, "abc") for _ in range(100)} == set("abc")
    assert sum(happens(rng, 0.2) for _ in range(4000)) / 4000 == pytest.approx(0.2, abs=0.03)


def test_a_choice_costs_one_random_number_whatever_its_weights():
    for weights in (None, [1.0, 0.0, 2.0]):
        rng, counter = Random(3), Random(3)
        choose(rng, "abc", weights)
        counter.random()
        assert rng.random() == counter.random()


def test_an_option_without_weight_is_never_drawn():
    rng = Random(1)
    assert {draw(rng, "abc", [1.0, 1.0, 2.0]) for _ in range(500)} == {"a", "c"}


def test_a_shuffle_keeps_everything():
    assert sorted(shuffled(Random(2), range(50))) == list(range(50))


def test_nothing_to_choose_from_is_an_error():
    with pytest.raises(ValueError, match="at least one option"):
        choose(Random(0), [])
    with pytest.raises(ValueError, match="2 weights"):
        choose(Random(0), "ab", [1])
