import unicodedata

import pytest

from gecalign.corpus import sentences

E_ACUTE, DECOMPOSED = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")


def notes(*texts: str) -> list[str]:
    return sentences.tidied(texts, "f")[1]


@pytest.mark.parametrize(
    "text",
    [
        "She goes.",
        "",
        "a  b",
        "a\u00a0b",
        "“a” – b",
        E_ACUTE,
        "👩\u200d💻",
        "می\u200cروم",
        "a\tb\n c",
        "R&D &c.",
        "❤\ufe0f",
    ],
)
def test_an_ordinary_text_stays_as_it_is_and_nothing_is_said(text):
    assert sentences.tidied([text], "f") == ([text], [])


@pytest.mark.parametrize("blank", [" ", "  ", *sentences.BLANKS, "\u2009", "\u202f", "\u2028", "\x0b", "\ufeff"])
def test_blanks_around_a_sentence_go_and_are_counted(blank):
    found, said = sentences.tidied(["a", f"b{blank}", f"{blank}c"], "f")
    assert found == ["a", "b", "c"]
    assert said == ["f: blanks around 2 of 3 sentences were taken off (the first: row 2)."]


def test_two_ways_to_write_a_letter_become_one_and_are_counted():
    found, said = sentences.tidied([E_ACUTE, DECOMPOSED], "f")
    assert found == [E_ACUTE, E_ACUTE]
    assert said == ["f: letters of 1 of 2 sentences were brought into Unicode's form NFC (row 2)."]


@pytest.mark.parametrize(
    "char",
    [
        "\x00",
        "\x07",
        "\x1b",
        "\x7f",
        "\x93",
        "\u200b",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\ufffd",
        "\u2028",
        "\u200c",
        "\u200d",
        "\u034f",
        "\u180e",
        "\u2061",
        "\u206a",
        "\u2800",
        "\u3164",
        "\ue000",
        "\ufff9",
        "\ufffc",
        "\ufffe",
        "\U000e0041",
    ],
)
def test_what_cannot_be_seen_stays_and_is_told_with_its_number(char):
    found, said = sentences.tidied(["a", f"a{char}b"], "f")
    assert found[1] == f"a{char}b"
    assert said == [f"f: 1 of 2 sentences hold characters that cannot be seen (row 2, U+{ord(char):04X})."]


@pytest.mark.parametrize("text", ["It’s", "“Yes”", "a – b", "café", "ünter", "Ça va"])
@pytest.mark.parametrize("wrong", ["cp1252", "latin1"])
def test_letters_read_in_another_encoding_are_told(text, wrong):
    misread = text.encode().decode(wrong, errors="replace")
    assert any("read in another encoding" in note or "cannot be seen" in note for note in notes(misread))
    assert not notes(text)


WRITTEN = ["She doesn't go.", "Well, it's me.", "Why?", "I can't, sorry!"]
TOKENISED = ["She does n't go .", "Well , it 's me .", "Why ?", "I ca n't , sorry !"]


def test_columns_that_are_tokenised_and_others_are_told_apart():
    said = sentences.unlike_tokens({"hypotheses": WRITTEN, "sources": TOKENISED, "references": TOKENISED})
    assert len(said) == 1
    assert said[0].startswith("sources and references look tokenised")
    assert "hypotheses do not" in said[0]


def test_texts_that_are_all_tokenised_are_told_and_others_are_not():
    assert "not comparable" in sentences.unlike_tokens({"hypotheses": TOKENISED, "sources": TOKENISED})[0]
    assert not sentences.unlike_tokens({"hypotheses": WRITTEN, "sources": WRITTEN})


def test_a_learner_who_writes_some_blanks_before_marks_has_not_tokenised():
    sources = [*WRITTEN, "I go , he goes."]
    assert not sentences.unlike_tokens({"hypotheses": [*WRITTEN, "I go, he goes."], "sources": sources})


@pytest.mark.parametrize(("text", "half"), [("a\ud83d", "\ud83d"), ("\udc00b", "\udc00"), ("a😀", None), ("", None)])
def test_half_of_a_character_is_found(text, half):
    assert sentences.half_of_a_character(text) == half


@pytest.mark.parametrize("text", ["It&#39;s", "&quot;Yes&quot;", "a &amp; b", "&lt;unk&gt;", "do n&apos;t", "a&#x27;b"])
def test_signs_as_html_writes_them_stay_and_are_told(text):
    assert sentences.tidied([text], "f") == (
        [text], ["f: 1 of 1 sentences hold signs as HTML or Moses write them, such as &quot; (row 1)."]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DECOMPOSED, "letters of 1 of 2 sentences are not in Unicode's form NFC"),
        *((text, "hold signs as tokenizers write them") for text in [
            "She goes.</s>", "<s> She", "a <unk>", "<|endoftext|>", "go@@ es", "\u2581She", "\u0120goes", "go ##es",
            "[PAD]",
        ]),
        *((text, "are words that programs write where there is nothing") for text in ["nan", "NaN ", "NULL", "None"]),
    ],
)  # fmt: skip
def test_what_a_corpus_holds_that_looks_wrong_is_told_and_its_row(text, words):
    (note,) = sentences.strange([text, "She goes."], "f")
    assert words in note
    assert "(row 1)" in note


@pytest.mark.parametrize("text", ["I <3 it", "a @@ b", "item #2", "none of it", "", "[sic]", "<sic>", "a | b |"])
def test_what_looks_like_such_signs_is_not_told(text):
    assert not sentences.strange([text], "f")


TEXTS = ["She goes.", "He sits.", "It is.", "They were.", "We go."]


@pytest.mark.parametrize(
    "label", ["{}", "Corrected: {}", '"{}"', "{n}. {}", "- {}", "{}\n", "{}\n\nI changed a word.", "{}\rb"]
)
def test_what_stands_around_all_hypotheses_is_told(label):
    found = [label.format(text, n=n) for n, text in enumerate(TEXTS, start=9)]
    told = sentences.around(found, [TEXTS, TEXTS], "f")
    words = {"{}": "", "{}\n": "", "{}\n\nI changed a word.": "more lines", "{}\rb": "more lines"}.get(
        label, "begin as"
    )
    assert bool(told) == bool(words)
    assert all(words in note for note in told)


def test_sources_that_begin_alike_or_go_over_lines_make_hypotheses_no_strange_ones():
    texts = [f"I {word}.\nOr not." for word in "abcde"]
    assert not sentences.around(texts, [[text.replace("I", "i") for text in texts], texts], "f")
    assert not sentences.around(["She a", "She b", ""], [["a", "b", "c"]], "f")  # too few to say


def test_references_that_are_their_sources_are_told():
    assert sentences.unchanged(["She goes. ", *TEXTS[1:]], TEXTS)
    assert not sentences.unchanged(["She go.", *TEXTS[1:]], TEXTS)
    assert not sentences.unchanged(["a"], ["a"])  # too few to say
