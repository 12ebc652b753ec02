"""Pairs: who is compared with whom, what is dropped and why, what is stored."""

import json
from dataclasses import replace

import pytest

from gecalign import prompts
from gecalign.config import Pairs, Prompt
from gecalign.corpus.edits import Edit
from gecalign.corpus.examples import Example
from gecalign.preferences import pairs
from gecalign.preferences.pairs import CLOSE, IDENTICAL, TIE, TRUNCATED, PreferencePair, Sample, Sampled
from gecalign.preferences.rewards import Objective, Reward, objective
from gecalign.runtime import files

PROMPT = Prompt()
REFERENCE = "She goes to school every day ."
GOOD, MIDDLE, BAD = REFERENCE, "She go to school every day .", "Go to every school ."


def sample(text: str, truncated: bool = False, temperature: float = 1.0) -> Sample:
    return Sample(text, 9, truncated, temperature)


def prompted(*samples: Sample, name: str = "1") -> Sampled:
    return Sampled(name, "She go to school every day .", REFERENCE, samples)


def build(*rows: Sampled, reward: Objective | None = None, **settings: object):
    return pairs.build(rows, Pairs(**settings), reward or objective("bleu"), PROMPT)


@pytest.mark.parametrize(
    ("selection", "chosen", "rejected"),
    [("best-worst", GOOD, BAD), ("random", MIDDLE, BAD), ("reference", REFERENCE, BAD)],
)
def test_the_selection_says_which_two_are_compared(selection, chosen, rejected):
    (pair,), funnel = build(prompted(*map(sample, (BAD, MIDDLE, GOOD))), selection=selection)
    assert (pair.chosen, pair.rejected) == (f" {chosen}", f" {rejected}")
    assert pair.chosen_reward > pair.rejected_reward
    assert funnel.pairs == 1


def test_the_rewards_of_a_pair_are_those_of_its_texts_and_its_prompt_is_the_one_prompt():
    (pair,), _ = build(prompted(sample(MIDDLE), sample(BAD)))
    scores = objective("bleu")([MIDDLE, BAD], [REFERENCE] * 2, [""] * 2)
    assert (pair.chosen_reward, pair.rejected_reward) == pytest.approx(tuple(scores), abs=1e-6)
    assert pair.prompt == prompts.render(PROMPT, "She go to school every day .")
    assert (pair.reward, pair.selection) == ("bleu", "best-worst")


TIED = (sample("She goes to work every day ."), sample("She goes to church every day ."))  # one word off, both


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ((sample(GOOD), sample(BAD, truncated=True)), TRUNCATED),
        ((sample(GOOD, truncated=True), sample(BAD, truncated=True)), TRUNCATED),
        ((sample(GOOD), sample(GOOD)), IDENTICAL),
        ((sample(GOOD), sample(GOOD), sample(BAD, truncated=True)), IDENTICAL),
        (TIED, TIE),
        ((sample(GOOD), sample("She goes to school every days .")), CLOSE),
    ],
)
def test_a_prompt_without_a_pair_is_counted_under_one_reason(samples, reason):
    found, funnel = build(prompted(*samples), minimum_margin=0.5)
    assert found == []
    assert {name for name, count in funnel.dropped.items() if count} == {reason}
    assert funnel.truncated_samples == sum(s.truncated for s in samples)


def test_every_prompt_is_in_exactly_one_count_and_the_funnel_ends_in_the_pairs():
    rows = [
        prompted(sample(GOOD), sample(BAD)), prompted(sample(GOOD), sample(GOOD)), prompted(*TIED),
        prompted(sample(GOOD), sample(BAD, truncated=True)), prompted(sample(MIDDLE), sample(BAD)),
    ]  # fmt: skip
    found, funnel = build(*rows)
    assert sum(funnel.dropped.values()) + len(found) == funnel.prompts == 5
    stages = list(funnel.stages().values())
    assert stages[0] == 5
    assert stages[-1] == funnel.pairs == len(found) == 2
    assert stages == sorted(stages, reverse=True)
    assert funnel.samples == 10


def test_a_pair_at_the_threshold_is_kept_and_one_below_it_is_not():
    graded = Objective("graded", (Reward("graded", lambda h, *_: len(h) / 100),), (1.0,))
    rows = [prompted(sample("x" * 50), sample("y" * 25)), prompted(sample("x" * 50), sample("y" * 26))]
    found, funnel = build(*rows, reward=graded, minimum_margin=0.25)
    assert len(found) == 1
    assert funnel.dropped[CLOSE] == 1


def test_a_prompt_whose_samples_all_equal_the_reference_gives_no_pair_with_it():
    found, funnel = build(prompted(sample(REFERENCE), sample(REFERENCE)), selection="reference")
    assert (found, funnel.dropped[IDENTICAL]) == ([], 1)


def test_one_complete_sample_is_enough_where_the_reference_is_chosen():
    (pair,), _ = build(prompted(sample(BAD, temperature=0.7)), selection="reference")
    assert (pair.chosen_temperature, pair.rejected_temperature) == (None, 0.7)


def test_with_two_temperatures_it_is_counted_how_often_the_cooler_sample_is_chosen():
    cool, warm = 0.7, 1.2
    rows = [
        prompted(sample(GOOD, temperature=cool), sample(BAD, temperature=warm)),
        prompted(sample(MIDDLE, temperature=cool), sample(BAD, temperature=warm)),
        prompted(sample(BAD, temperature=cool), sample(GOOD, temperature=warm)),
        prompted(sample(GOOD, temperature=cool), sample(BAD, temperature=cool)),  # says nothing about it
    ]
    found, _ = build(*rows)
    assert pairs.cooler_chosen(found) == (2, 3)


def test_a_pair_is_about_corrections_or_about_slips():
    source, reference = "She go to school .", "She goes to school ."
    example = Example("1", source, reference, reference, (Edit(4, 6, "goes", "VERB:SVA"),))

    def of(chosen: str, rejected: str) -> PreferencePair:
        return PreferencePair("1", "", chosen, rejected, source, reference, 1.0, 0.5, 1.0, 1.0, "bleu", "random")

    rows = [
        of(" She goes to school .", " She go to school ."),  # corrects
        of(" She goes to a school .", " She go to school ."),  # corrects, and slips
        of(" She go to school .", " She go school ."),  # neither corrects, one slips
        of(" She go to school .", " She goes school school ."),  # the better one by the reward corrects less
    ]
    assert list(pairs.subjects(rows, [example]).values()) == [2, 1, 1]
    with pytest.raises(ValueError, match="errors of 1 are not recorded"):
        pairs.subjects(rows, [Example("1", source, reference, reference)])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"selection": "best"}, "unknown pairs__selection 'best'. Selections: best-worst, random, reference"),
        ({"minimum_margin": -0.1}, "pairs__minimum_margin is -0.1"),
        ({"minimum_margin": 20.0}, "rewards lie between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        build(prompted(sample(GOOD), sample(BAD)), **settings)


def test_pairs_and_samples_are_read_as_they_were_written(tmp_path):
    rows = [
        prompted(sample('"Öl"\u2028', temperature=0.7), sample(BAD, truncated=True)),
        prompted(sample(GOOD), sample(BAD)),
    ]
    found, _ = build(*rows)
    files.write_jsonl(found, tmp_path / "pairs.jsonl")
    files.write_jsonl(rows, tmp_path / "samples.jsonl")
    assert pairs.read(tmp_path / "pairs.jsonl") == found
    assert pairs.read_sampled(tmp_path / "samples.jsonl") == rows


def test_the_datasets_library_loads_the_file_with_scores_and_provenance(tmp_path):
    import datasets

    found, _ = build(prompted(sample(MIDDLE, temperature=0.7), sample(BAD, temperature=1.2)))
    files.write_jsonl(found, tmp_path / "pairs.jsonl")
    loaded = datasets.load_dataset(
        "json", data_files=str(tmp_path / "pairs.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    (row,) = list(loaded)
    assert row == json.loads((tmp_path / "pairs.jsonl").read_text())
    assert {"prompt", "chosen", "rejected", "chosen_reward", "rejected_temperature", "reward"} <= set(row)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, "pairs__temperature is 0, so that 4 samples of a prompt would all be the same"),
        ({"temperature": 0.0, "samples": 1}, ""),
        ({"second_temperature": 0.0}, "pairs__second_temperature is 0, so that 2 samples"),
        ({"second_temperature": 0.0, "samples": 2}, ""),
        ({"temperature": 0.0, "second_temperature": 1.0}, "pairs__temperature is 0, so that 2 samples"),
        ({"second_temperature": 1.0, "samples": 3}, "pairs__samples is 3: two temperatures share the samples"),
    ],
)
def test_samples_that_could_not_differ_are_refused_under_the_name_of_their_temperature(changes, words):
    settings = replace(Pairs(), **changes)
    if words:
        with pytest.raises(ValueError, match=rf"^{words}"):
            pairs.check(settings)
    else:
        pairs.check(settings)


@pytest.mark.parametrize(("selection", "fine"), [("best-worst", False), ("random", False), ("reference", True)])
def test_one_sample_makes_a_pair_with_the_reference_only(selection, fine):
    settings = replace(Pairs(), samples=1, selection=selection)
    if fine:
        pairs.check_comparable(settings)
    else:
        with pytest.raises(ValueError, match=f"pairs__samples is 1, and pairs__selection '{selection}' compares two"):
            pairs.check_comparable(settings)
