import html
import itertools
import random
import re

import pytest

from gecalign.report import markup
from gecalign.report.markup import difference

WORDS = [
    "She",
    "go",
    "goes",
    "don't",
    "well-known",
    "3.5",
    ",",
    ".",
    "!",
    "(",
    "’s",
    "é",
    "東京",
    "🙂",
    "<b>",
    "&",
]
PAIRS = [
    ("She go home.", "She goes home."),
    ("", "She goes."),
    ("She go.", ""),
    ("", ""),
    ("same", "same"),
    ("a b c", "c b a"),
    ("a  b", "a b"),
    ("one\ntwo", "one two"),
]


def sentence(rng: random.Random) -> str:
    return "".join(
        word + rng.choice(["", " ", " ", "  ", "\u00a0", "\t"]) for word in rng.choices(WORDS, k=rng.randint(0, 12))
    )


def random_pairs() -> list[tuple[str, str]]:
    rng = random.Random(0)
    return [(sentence(rng), sentence(rng)) for _ in range(300)]


@pytest.mark.parametrize(("source", "hypothesis"), [*PAIRS, *random_pairs()[:20]])
def test_the_pieces_spell_both_texts(source, hypothesis):
    pieces = difference(source, hypothesis)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == source
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == hypothesis


def test_the_pieces_spell_both_texts_and_no_two_neighbours_are_of_a_kind():
    for source, hypothesis in random_pairs():
        pieces = difference(source, hypothesis)
        assert "".join(piece.text for piece in pieces if piece.kind != "added") == source
        assert "".join(piece.text for piece in pieces if piece.kind != "removed") == hypothesis
        assert all(one.kind != other.kind for one, other in itertools.pairwise(pieces))
        assert all(piece.text for piece in pieces)


def test_equal_texts_have_nothing_marked():
    assert difference("She goes.", "She goes.") == [("kept", "She goes.")]


def test_words_are_replaced_whole():
    assert difference("She don't go.", "She doesn't go.")[1:3] == [("removed", "don't"), ("added", "doesn't")]


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</ins></del>",
    "&lt;b&gt;",
    "<!--",
    "{}",
    "{0}",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("where", ["source", "hypothesis", "both"])
def test_html_in_the_texts_stays_text(attack, where):
    source = attack if where != "hypothesis" else "a"
    hypothesis = attack if where != "source" else "a"
    shown = markup.to_html(source, hypothesis)
    assert set(re.findall(r"<[^>]*>?", shown)) <= {"<ins>", "</ins>", "<del>", "</del>"}
    assert html.unescape(re.sub(r"<ins>.*?</ins>", "", shown).replace("<del>", "").replace("</del>", "")) == source


@pytest.mark.parametrize("attack", ATTACKS)
def test_html_in_a_table_stays_text(attack):
    shown = markup.table([(attack, attack, attack)], (attack, attack, attack))
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "ins", "del"}
    assert {tag.strip("/").split()[0] for tag in re.findall(r"<([^>]*)>", shown)} <= allowed
    assert shown.count(html.escape(attack)) == 6 if attack not in difference("", attack) else True


def test_html_in_tokens_stays_text():
    shown = markup.tokens(["<b>", " a\n"], [True, False])
    assert shown == '<p class="tokens"><mark>&lt;b&gt;</mark> <span>␣a↵</span></p>'


CONTROLS = ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x08", "\x9b31m", "\u202e", "\u2066", "\x00", "\x7f", "\n"]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("where", ["source", "hypothesis", "both"])
def test_nothing_from_the_texts_can_drive_the_terminal(control, colour, where):
    source = f"a {control} b" if where != "hypothesis" else "a b"
    hypothesis = f"a {control} b" if where != "source" else "a b"
    shown = markup.to_terminal(source, hypothesis, colour)
    ours = re.sub(r"\x1b\[(9;31|32|0)m", "", shown) if colour else shown
    assert ours.isprintable(), repr(ours)


@pytest.mark.parametrize("control", [*CONTROLS, "\u200b", "\ufeff", "\u00a0", "\u2028"])
def test_what_cannot_be_seen_is_made_visible_on_a_page(control):
    char = next(one for one in control if not one.isprintable())
    for shown in (markup.to_html(f"a{control}b", "c"), markup.table([(control, control, "c")]), markup.text(control)):
        assert char not in shown
        assert f"U+{ord(char):04X}" in shown or chr(0x2400 + ord(char)) in shown or "\u2421" in shown


def test_letters_joined_by_a_sign_that_cannot_be_seen_stay_joined():
    assert markup.visible("👩\u200d💻 می\u200cروم") == "👩\u200d💻 می\u200cروم"


@pytest.mark.parametrize(("source", "hypothesis"), [("a {} b", "a {0} b"), ("[-x-]", "{+x+}"), ("{p.kind}", "{{}}")])
def test_braces_in_the_texts_are_literal(source, hypothesis):
    assert source in re.sub(r"\{\+.*?\+\}(?!\+)", "", markup.to_terminal(source, "", colour=False)).replace("[-", "", 1)
    assert hypothesis in markup.to_terminal("", hypothesis, colour=False)


def test_the_plain_form_marks_without_colour():
    assert markup.to_terminal("She go home.", "She goes home.", colour=False) == "She [-go-]{+goes+} home."
    assert "\x1b" in markup.to_terminal("She go home.", "She goes home.")
