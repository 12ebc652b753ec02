"""Scores against sacreBLEU, against brute-force implementations, and against examples worked by hand."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from rapidfuzz.distance import Levenshtein

from gecalign import metrics
from gecalign.corpus.edits import Edit, apply_edits
from gecalign.corpus.texts import words
from gecalign.metrics import edit_score, ngram_score

LEXICON = [
    "the",
    "a",
    "dog",
    "dogs",
    "goes",
    "go",
    "to",
    "school",
    ",",
    ".",
    "not",
    "He",
    "it's",
    "well-known",
    "in",
]


def sentence(rng: random.Random, low: int = 1, high: int = 14) -> str:
    return " ".join(rng.choice(LEXICON) for _ in range(rng.randint(low, high)))


def altered(rng: random.Random, text: str, changes: int = 2) -> str:
    tokens = text.split()
    for _ in range(rng.randint(0, changes)):
        position = rng.randrange(len(tokens) + 1)
        tokens[position : position + rng.randint(0, 2)] = [rng.choice(LEXICON) for _ in range(rng.randint(0, 2))]
    return " ".join(tokens)


def corpus(seed: int, n: int = 60) -> tuple[list[str], list[list[str]], list[str]]:
    """Hypotheses (some empty, some without any match), one to three references each, and sources."""
    rng = random.Random(seed)
    sources = [sentence(rng) for _ in range(n)]
    references = [[altered(rng, source) or "." for _ in range(rng.randint(1, 3))] for source in sources]
    hypotheses = [altered(rng, rng.choice(several)) for several in references]
    hypotheses[:3] = ["", "zebra", "zebra unicorn"]
    return hypotheses, references, sources


# BLEU and chrF: sacreBLEU is the reference


SACRE = [
    pytest.param(metrics.bleu, sacrebleu.BLEU(), sacrebleu.BLEU(effective_order=True), id="BLEU"),
    pytest.param(metrics.chrf, sacrebleu.CHRF(), sacrebleu.CHRF(), id="chrF"),
    pytest.param(metrics.chrf_plus_plus, sacrebleu.CHRF(word_order=2), sacrebleu.CHRF(word_order=2), id="chrF++"),
]


@pytest.mark.parametrize(("metric", "sacre", "_sentence"), SACRE)
@pytest.mark.parametrize("seed", range(5))
def test_corpus_score_and_signature_are_sacrebleus(metric, sacre, _sentence, seed):
    hypotheses, references, _ = corpus(seed)
    streams = [[several[i] if i < len(several) else None for several in references] for i in range(3)]
    found = metric.corpus(hypotheses, references)
    assert found.value == pytest.approx(sacre.corpus_score(hypotheses, streams).score, abs=1e-9)
    assert found.signature == str(sacre.get_signature())
    assert found.n == len(hypotheses)


@pytest.mark.parametrize(("metric", "sacre", "_sentence"), SACRE)
@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["a dog"], ["a dog"]),  # shorter than the longest n-gram
        (["zebra"], ["a dog goes home"]),  # no match
        (["", ""], ["a dog", "a cat"]),  # no hypothesis at all
        (["a dog cat home"], ["home dog a cat"]),  # matches of the first order only: smoothing of the others
        (["a", "dog"], ["a dog goes to school every day", "the cat"]),  # brevity
        (["the the the the the the the"], ["the cat goes to the school"]),  # clipped counts
    ],
)
def test_degenerate_corpora_score_as_in_sacrebleu(metric, sacre, _sentence, hypotheses, references):
    expected = sacre.corpus_score(hypotheses, [references]).score
    assert metric.corpus(hypotheses, references).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("metric", "_sacre", "sentence_sacre"), SACRE)
def test_sentence_scores_are_sacrebleus_with_effective_order(metric, _sacre, sentence_sacre):
    hypotheses, references, _ = corpus(seed=11)
    expected = [sentence_sacre.sentence_score(h, r).score for h, r in zip(hypotheses, references, strict=True)]
    np.testing.assert_allclose(metric.sentence(hypotheses, references), expected, atol=1e-9)


@pytest.mark.parametrize("metric", [*metrics.METRICS, metrics.chrf_plus_plus], ids=lambda m: m.name)
def test_score_of_many_totals_is_the_score_of_each(metric):
    hypotheses, references, sources = corpus(seed=3)
    rows = metric.statistics(hypotheses, references, sources)
    weights = np.random.default_rng(0).multinomial(len(rows), [1 / len(rows)] * len(rows), size=(2, 4))
    together = metric.score(weights @ rows)
    assert together.shape == (2, 4)
    for i in np.ndindex(2, 4):
        resample = np.repeat(np.arange(len(rows)), weights[i])
        again = metric.corpus(
            [hypotheses[j] for j in resample],
            [references[j] for j in resample],
            [sources[j] for j in resample],
        )
        assert together[i] == pytest.approx(again.value, abs=1e-9)


def test_reference_streams_give_each_sentence_its_references_back():
    assert ngram_score.reference_streams([("a", "b"), ("c",)]) == [("a", "c"), ("b", None)]


# GLEU


def napoles_gleu(hypotheses, references, sources):
    """One reference: the formula of Napoles et al. (2016), with multiset operations on Counters.

    p_n = max(0, |H & R| - |H & (S without n-gram types of R)|) / |H|, numerators and denominators summed
    over the corpus; BLEU's brevity penalty.
    """
    numerators, denominators = [0] * 4, [0] * 4
    for hypothesis, reference, source in zip(hypotheses, references, sources, strict=True):
        for n in range(1, 5):
            h, r, s = (
                Counter(tuple(words(text)[i : i + n]) for i in range(len(words(text)) - n + 1))
                for text in (hypothesis, reference, source)
            )
            should_have_gone = Counter({gram: count for gram, count in s.items() if gram not in r})
            numerators[n - 1] += max(0, (h & r).total() - (h & should_have_gone).total())
            denominators[n - 1] += h.total()
    if 0 in numerators:
        return 0.0
    c, r = (sum(len(words(text)) for text in texts) for texts in (hypotheses, references))
    logs = [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
    return 100 * math.exp(min(0, 1 - r / c) + sum(logs) / 4)


@pytest.mark.parametrize("seed", range(5))
def test_gleu_is_the_published_formula(seed):
    hypotheses, references, sources = corpus(seed)
    first = [several[0] for several in references]
    expected = napoles_gleu(hypotheses, first, sources)
    assert expected > 5  # a corpus without any match would prove nothing
    assert metrics.gleu.corpus(hypotheses, first, sources).value == pytest.approx(expected, abs=1e-9)


def test_gleu_by_hand():
    # H = S = "she go to school", R = "she goes to school". Unigrams: 3 match, "go" should have gone,
    # (3 - 1) / 4. Bigrams: "to school" matches, "she go" and "go to" should have gone, max(0, 1 - 2) / 3.
    counts = metrics.gleu.statistics(["she go to school"], ["she goes to school"], ["she go to school"])
    assert counts.tolist() == [[4, 4, 2, 0, 0, 0, 4, 3, 2, 1]]
    # The corrected sentence: everything matches. Together: precisions 6/8, 3/6, 2/4, 1/2, no brevity penalty.
    both = metrics.gleu.corpus(
        ["she go to school", "she goes to school"], ["she goes to school"] * 2, ["she go to school"] * 2
    )
    assert both.value == pytest.approx(100 * (6 / 8 * 3 / 6 * 2 / 4 * 1 / 2) ** 0.25)


def test_corpus_gleu_is_zero_where_an_order_has_no_match_as_in_the_authors_script():
    assert metrics.gleu.corpus(["He goes to a zoo"], ["He goes to town ."], ["He go to zoo"]).value == 0


def test_gleu_averages_the_counts_of_several_references():
    hypotheses, references, sources = corpus(seed=2)
    pairs = [(several * 2)[:2] for several in references]
    one, two = (metrics.gleu.statistics(hypotheses, [pair[i] for pair in pairs], sources) for i in (0, 1))
    np.testing.assert_allclose(metrics.gleu.statistics(hypotheses, pairs, sources), (one + two) / 2)


def test_gleu_puts_the_correction_above_the_copy_where_bleu_hardly_does():
    source, wrong, reference = "He go to school .", "He went to school .", "He goes to school ."
    score = {text: metrics.gleu.sentence([text], [reference], [source]).item() for text in (source, wrong, reference)}
    assert score[source] < score[wrong] < score[reference] == pytest.approx(100)
    bleu = {text: metrics.bleu.sentence([text], [reference]).item() for text in (source, wrong)}
    assert bleu[source] == bleu[wrong]  # to BLEU the error left alone and another wrong word are the same


def test_gleu_of_a_sentence_without_a_match_is_zero_and_of_a_short_perfect_one_100():
    assert metrics.gleu.sentence(["zebra", "Go !", ""], ["Run .", "Go !", "Go"], ["Ran .", "Go", "Go"]).tolist() == [
        0,
        pytest.approx(100),
        0,
    ]


# Edits


def brute_force_edits(source: list[str], target: list[str]) -> set[tuple[int, int, tuple[str, ...]]]:
    """The runs of words between those that the alignment keeps, from rapidfuzz's elementary steps."""
    edits, previous = set(), (0, 0)
    for block in Levenshtein.editops(source, target).as_matching_blocks():  # the last one is empty, at the end
        if previous != (block.a, block.b):
            edits.add((previous[0], block.a, tuple(target[previous[1] : block.b])))
        previous = (block.a + block.size, block.b + block.size)
    return edits


@pytest.mark.parametrize("seed", range(20))
def test_word_edits_rebuild_the_target_and_never_touch(seed):
    rng = random.Random(seed)
    source = sentence(rng)
    target = altered(rng, source, changes=4).split()
    edits = edit_score.word_edits(source.split(), target)
    assert edits == brute_force_edits(source.split(), target)
    rebuilt, position = [], 0
    for start, end, replacement in sorted(edits):
        assert start > position or position == 0
        rebuilt += source.split()[position:start] + list(replacement)
        position = end
    assert rebuilt + source.split()[position:] == target


def test_edit_score_by_hand():
    # Edits of the reference: go -> goes, home -> the house (what touches is one edit), insert ",". The
    # hypothesis makes the first, turns "home" into "hall", and forgets the comma.
    source, reference = "She go to home now .", "She goes to the house now , ."
    rows = metrics.edit_f05.statistics(["She goes to hall now ."], [reference], [source])
    assert rows.tolist() == [[1, 1, 2]]


def test_precision_recall_and_f_by_hand():
    found = edit_score.precision_recall_f([1, 1, 2])
    assert found.precision == pytest.approx(50)
    assert found.recall == pytest.approx(100 / 3)
    assert found.f05 == pytest.approx(100 * 5 / 11)  # 1.25 * (1/2) * (1/3) / (0.25 * 1/2 + 1/3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # ERRANT's computeFScore: p = tp / (tp + fp) if fp else 1, r = tp / (tp + fn) if fn else 1,
        # f = 0 if p + r is 0
        ((0, 0, 0), (100, 100, 100)),  # nothing to do, nothing done
        ((0, 0, 3), (100, 0, 0)),  # a copied source
        ((0, 2, 0), (0, 100, 0)),  # a clean sentence changed
        ((0, 2, 3), (0, 0, 0)),  # all wrong
        ((3, 0, 0), (100, 100, 100)),
    ],
)
def test_zero_counts_follow_errant(counts, expected):
    assert tuple(edit_score.precision_recall_f(counts)) == pytest.approx(expected)


def test_best_reference_counts_whatever_their_order():
    source, hypothesis = "I has a dog", "I have a dog"
    references = ["I had the dog", "I have a dog", "I have the dogs"]
    for shuffled in (references, references[::-1]):
        assert metrics.edit_f05.statistics([hypothesis], [shuffled], [source]).tolist() == [[1, 0, 0]]


def test_copying_scores_zero_and_the_reference_100():
    _, references, sources = corpus(seed=5)
    first = [several[0] for several in references]
    assert metrics.edit_f05.corpus(sources, first, sources).value == 0
    assert metrics.edit_f05.corpus(first, first, sources).value == 100


def test_best_reference_is_the_one_with_the_highest_f_not_the_fewest_misses():
    # The hypothesis makes two edits. First reference: tp 1, fn 0, P 1/2, R 1, F0.5 5/9; second: tp 2, fn 1,
    # P 1, R 2/3, F0.5 10/11.
    source, hypothesis = "a b c d e f", "A b C d e f"
    rows = metrics.edit_f05.statistics([hypothesis], [["A b c d e f", "A b C d E f"]], [source])
    assert rows.tolist() == [[2, 0, 1]]


def test_case_is_an_edit():
    assert metrics.edit_f05.statistics(["i go"], ["I go"], ["i go"]).tolist() == [[0, 0, 1]]


# Recall by error type


def made(hypothesis: str, source: str, *edits: Edit) -> list[bool]:
    return edit_score.corrections_made(hypothesis, source, edits)


SVA = Edit(4, 6, "goes", "VERB:SVA")
THE = Edit(10, 10, "the ", "DET")


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("She goes to the shop.", [True, True]),
        ("She go to shop.", [False, False]),  # copied
        ("She goes to shop.", [True, False]),
        ("She go to the shop.", [False, True]),
        ("She went to a shop.", [False, False]),  # other words at these places
        (
            "She Goes to the big shop.",
            [False, True],
        ),  # case counts; something else in between does not hide "the"
        ("The girl goes to the shops!", [True, True]),  # changes elsewhere
        ("", [False, False]),
    ],
)
def test_an_edit_is_corrected_when_exactly_its_replacement_stands_there(hypothesis, expected):
    assert made(hypothesis, "She go to shop.", SVA, THE) == expected


def test_only_the_whole_replacement_counts():
    tense = Edit(2, 4, "will have gone", "VERB:TENSE")
    assert made("I will have home", "I go home", tense) == [False]  # nearer to the reference, and yet not there
    assert made("I will have gone home", "I go home", tense) == [True]


def test_touching_edits_are_told_apart():
    # "a apples" -> "apple": a deletion beside a replacement, which an alignment can read in two ways
    edits = Edit(6, 8, "", "DET"), Edit(8, 14, "apple", "NOUN:NUM")
    source = "I eat a apples."
    assert made("I eat apple.", source, *edits) == [True, True]
    assert made("I eat a apple.", source, *edits) == [False, True]
    assert made("I eat apples.", source, *edits) == [True, False]
    assert made(source, source, *edits) == [False, False]


def test_an_unnecessary_word_is_not_removed_by_stopping_before_it():
    the = Edit(12, 16, "", "DET")
    source = "Anna enjoys the music a lot."
    assert made("Anna enjoys music a lot.", source, the) == [True]
    assert made("Anna enjoys", source, the) == [True]  # here the neighbour on the left is still there
    assert made("Anna", source, the) == [False]
    assert made("", "The music plays", Edit(0, 4, "", "DET")) == [False]  # at the very start


def test_a_repeated_word_must_really_be_inserted():
    # whichever of the two words an alignment takes for the new one
    assert made("I know that is true", "I know that is true", Edit(7, 7, "that ", "PRON")) == [False]
    assert made("I know that that is true", "I know that is true", Edit(7, 7, "that ", "PRON")) == [True]


def test_word_order_and_spacing_edits():
    order = Edit(2, 11, "is always", "WO")
    assert made("I is always", "I always is", order) == [True]
    assert made("I always is", "I always is", order) == [False]
    space = Edit(4, 5, "", "ORTH")  # no word changes: compared by characters
    assert made("Stop!", "Stop !", space) == [True]
    assert made("Stop !", "Stop !", space) == [False]


@pytest.mark.parametrize("seed", range(30))
def test_the_reference_has_every_correction_the_source_none_and_a_single_edit_itself(seed):
    rng = random.Random(seed)
    tokens = [f"w{i}" for i in range(8)]
    source = " ".join(tokens)
    edits, position = [], 0
    for i, token in enumerate(tokens):
        if rng.random() < 0.4:
            replacement = rng.choice(["", f"x{i} ", f"x{i} y{i} "]) if i < 7 else f"x{i}"
            edits.append(Edit(position, position + len(token) + (i < 7), replacement, "OTHER"))
        position += len(token) + 1
    if edits and len(edits) < 8:
        assert made(apply_edits(source, edits), source, *edits) == [True] * len(edits)
        assert made(source, source, *edits) == [False] * len(edits)
        for i, edit in enumerate(edits):
            alone = apply_edits(source, [edit])
            assert made(alone, source, *edits) == [j == i for j in range(len(edits))]


def test_what_was_corrected_is_counted_by_type_and_sentence():
    hypotheses = ["She goes to shop.", "She go to the shop.", "Fine.", "a dog an cat"]
    sources = ["She go to shop.", "She go to shop.", "Fine.", "an dog an cat"]
    edits = [[SVA, THE], (SVA, THE), [], [Edit(0, 2, "a", "DET"), Edit(7, 9, "a", "DET")]]
    rows = edit_score.corrected_by_type(hypotheses, sources, edits)
    assert {kind: found.tolist() for kind, found in rows.items()} == {
        "DET": [[0, 1], [1, 1], [0, 0], [1, 2]],
        "VERB:SVA": [[1, 1], [0, 1], [0, 0], [0, 0]],
    }
    assert edit_score.recall(rows["DET"].sum(axis=0)) == 50
    assert np.isnan(edit_score.recall([0, 0]))


def test_unknown_edits_are_refused():
    with pytest.raises(ValueError, match=r"edits\[1\] is None.*TinyGEC"):
        edit_score.corrected_by_type(["a", "b"], ["a", "b"], [[], None])


# Input, and everything at once


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("hypotheses", "references", "sources", "message"),
    [
        ([], [], [], "hypotheses is empty"),
        ("a dog", ["a dog"], ["a dog"], "hypotheses is one string"),
        (["a"], "a", ["a"], "references is one string"),
        (None, ["a"], ["a"], "hypotheses is None"),
        (["a", None], ["a", "b"], ["a", "b"], r"hypotheses\[1\] is None"),
        (["a", 3], ["a", "b"], ["a", "b"], r"hypotheses\[1\] is 3 \(int\)"),
        (["a", "b"], ["a"], ["a", "b"], "references has 1 entries and hypotheses has 2"),
        (["a", "b"], ["a", "b"], ["a", "b", "c"], "sources has 3 entries and hypotheses has 2"),
        (["a"], ["a"], [], "sources is empty"),
        (["a"], [[]], ["a"], r"references\[0\] is an empty list"),
        (["a"], [" "], ["a"], r"references\[0\] holds ' '"),
        (["a"], [["a", None]], ["a"], r"references\[0\] holds None"),
        (["a", "b", "c"], [["a", "b", "c"], ["a", "b", "c"]], ["a"] * 3, r"2 lists of 3.*list\(zip"),
    ],
)
def test_bad_input_is_reported_in_the_callers_words(metric, hypotheses, references, sources, message):
    with pytest.raises(ValueError, match=message):
        metric.corpus(hypotheses, references, sources)


@pytest.mark.parametrize("metric", [metrics.gleu, metrics.edit_f05], ids=lambda m: m.name)
def test_metrics_of_corrections_ask_for_the_sources(metric):
    with pytest.raises(ValueError, match="pass sources="):
        metric.corpus(["a"], ["a"])


def test_inputs_may_be_any_iterable_of_strings():
    texts = np.array(["a dog goes home now"])
    assert metrics.bleu.corpus(texts, texts).value == pytest.approx(100)


@pytest.mark.parametrize("metric", [*metrics.METRICS, metrics.chrf_plus_plus], ids=lambda m: m.name)
def test_one_reference_may_be_a_string_or_a_list_of_one(metric):
    hypotheses, references, sources = corpus(seed=8)
    first = [several[0] for several in references]
    assert metric.corpus(hypotheses, first, sources) == metric.corpus(hypotheses, [[r] for r in first], sources)


def test_signatures_say_how_many_references_and_which_words():
    assert metrics.gleu.signature(2).startswith("nrefs:2|case:mixed|tok:gecalign-words-1|")
    assert metrics.edit_f05.signature(None).startswith("nrefs:var|")


def test_evaluate_holds_every_metric_and_behaviour():
    hypotheses = ["She goes home .", "Fine .", "Well ."]
    references, sources = ["She goes home .", "Fine .", "Good ."], ["She go home .", "Fine .", "Goods ."]
    found = metrics.evaluate(hypotheses, references, sources, truncated=[False, False, True])
    for metric in metrics.METRICS:
        assert found.scores[metric.name] == metric.corpus(hypotheses, references, sources)
    assert (found.edit_precision, found.edit_recall) == (50, 50)
    row = found.row()
    assert row["BLEU"] == found.scores["BLEU"].value
    assert (row["copied"], row["over_corrected"], row["truncated"]) == pytest.approx((1 / 3, 0, 1 / 3))
    assert found.signatures()["BLEU"] == metrics.bleu.signature(1)


def test_what_is_not_known_is_none_in_the_row():
    row = metrics.evaluate(["b"], ["a"], ["c"]).row()
    assert row["truncated"] is None
    assert row["over_corrected"] is None  # no clean sentence


def test_words_keep_inner_marks_and_split_the_others():
    assert " ".join(words("It's a well-known, 3.5-inch (1,000) disk...")) == (
        "It's a well-known , 3.5-inch ( 1,000 ) disk . . ."
    )
    assert " ".join(words("end.Next ‘quote’ don’t")) == "end . Next ‘ quote ’ don’t"


def test_metrics_load_without_torch_and_scipy():
    code = (
        "import sys, gecalign.metrics.scores, gecalign.statistics.compare; print({'torch', 'scipy'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
