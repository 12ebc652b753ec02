"""Real sentences as a corpus, from small stand-ins for the pinned files."""

import csv
from dataclasses import replace

import pytest
from commandline import call

from gecalign.config import Data
from gecalign.corpus import corpora, data, jfleg
from gecalign.runtime import store

LEARNERS = {  # source, and four corrections
    "dev": [(f"He do n't like {n} cats .", *(f"He does n't like {n} {word} ." for word in "abcd")) for n in range(6)],
    "test": [("They say `` go '' .", *(f"They said `` go '' {word} ." for word in "abcd"))],
}
PAIRS = [
    ("grammar: She go home every day.", "She goes home every day."),
    ("grammar:  It is\train.", "It is raining."),
    ("It rain a lot here.", "It rains a lot here."),  # some rows lack the instruction
    ("grammar: She go home every day.", "She went home every day."),  # seen
    ("grammar: Go.", "Go!"),  # short
    ("grammar: " + "very " * 41, "very " * 41),  # long
    ("grammar: He likes café here.", "He likes cafés here."),
    ("grammar: Write to me@here now.", "Write to me@here today."),
    ("grammar: Call 555-123-4567 now please.", "Call 555-123-4567 today please."),
    ("grammar: one two three four five", "one 2 3 4 five"),  # changed in more than 40 %
]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with stand-ins, of which the digests are known."""
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "mine"
    (folder / "jfleg").mkdir(parents=True)
    for split, sentences in LEARNERS.items():
        for column, texts in zip(("src", "ref0", "ref1", "ref2", "ref3"), zip(*sentences, strict=True), strict=True):
            (folder / "jfleg" / f"{split}.{column}").write_text("\n".join(texts) + "\n")
    with (folder / "c4train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("input", "target"), *PAIRS])
    digests = {path.name: store.file_digest(path) for path in (folder / "jfleg").iterdir()}
    monkeypatch.setattr(jfleg, "JFLEG_DIGESTS", digests)
    monkeypatch.setattr(jfleg, "C4", replace(jfleg.C4, digests=(store.file_digest(folder / "c4train.csv"),)))
    monkeypatch.setattr(jfleg, "PREFERENCE", 4)
    return folder


def corpus(**changes) -> data.Corpus:
    return data.build(Data(source=jfleg.NAME, **{"preference_rows": 4, "dev_rows": 2, "test_rows": 5} | changes))


def test_learners_are_asked_about_and_the_web_demonstrates(mine):
    jfleg.fetch(mine)
    found = corpus()
    assert [len(getattr(found, name)) for name in data.SPLITS] == [3, 4, 2, 1, 0]
    (example,) = found.test
    assert example.source == 'They say "go".'
    assert example.reference == tuple(f'They said "go" {word}.' for word in "abcd")
    asked = {e.source for e in (*found.preference, *found.dev)}
    assert asked == {f"He don't like {n} cats." for n in range(6)}
    assert {e.source: e.demonstration for e in found.train} == {
        "She go home every day.": "She goes home every day.",
        "It is rain.": "It is raining.",
        "It rain a lot here.": "It rains a lot here.",
    }


def test_the_same_files_give_the_same_splits_wherever_they_came_from(mine, monkeypatch, tmp_path):
    first = [path.read_bytes() for path in sorted(jfleg.fetch(mine).iterdir())]
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "other"))
    assert [path.read_bytes() for path in sorted(jfleg.fetch(mine / "jfleg" / "..").iterdir())] == first


def test_without_it_the_command_is_named(mine):
    with pytest.raises(
        ValueError, match=r"the corpus jfleg-c4 \(data__source\) is not here yet: `gecalign fetch jfleg-c4`"
    ):
        corpora.local_path(Data(source=jfleg.NAME))


def test_a_sentence_of_another_edition_is_refused(mine):
    (mine / "jfleg" / "dev.ref2").write_text("changed\n")
    with pytest.raises(ValueError, match=r"dev.ref2 is another file than the one that was measured"):
        jfleg.fetch(mine)
    assert not jfleg.is_there()


def test_the_command_says_what_came_and_how_to_use_it(mine):
    said = call("fetch", "jfleg-c4", "--from", mine)
    assert "CC BY-NC-SA" in said
    assert "--set data.source=jfleg-c4" in said
    with pytest.raises(ValueError, match="nothing that can be fetched"):
        call("fetch", "jfleg")
