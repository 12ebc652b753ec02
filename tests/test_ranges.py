"""Every setting says what it may be: just inside is taken, just outside is refused, under the name that was typed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from gecalign import config
from gecalign.config import PROFILES, Profile, profile
from gecalign.models import loading
from gecalign.preferences import pairs
from gecalign.ranges import Choice, Range, Text
from gecalign.settings import settings_digest
from gecalign.study import Study
from gecalign.training import vllm_sampling

TINY = profile("tiny")
PARTS = {
    f.name: type(getattr(profile("as-published"), f.name))
    for f in dataclasses.fields(Profile)
    if dataclasses.is_dataclass(getattr(profile("as-published"), f.name))
}  # fmt: skip
FIELDS = [(part, name) for part, kind in PARTS.items() for name in get_type_hints(kind)]


def hints(part: str, extras: bool = False) -> dict[str, Any]:
    return get_type_hints(PARTS[part], include_extras=extras)


def limits(part: str, name: str) -> Any:
    return config.limits_of(hints(part, extras=True)[name])


def steps(range_: Range, whole: bool) -> tuple[list[float], list[float]]:
    """Return numbers at the very ends of a range, inside and outside."""
    inside, outside = [], []
    for end, is_open, direction in ((range_.low, range_.low_open, 1), (range_.high, range_.high_open, -1)):
        if math.isinf(end):
            continue
        further = int(end) + direction if whole else math.nextafter(end, direction * math.inf)
        nearer = int(end) - direction if whole else math.nextafter(end, -direction * math.inf)
        inside.append(further if is_open else end)
        outside.append(end if is_open else nearer)
    inside += [] if range_.beside is None else [range_.beside]
    return inside, outside


def cases() -> Iterator[tuple[str, str, Any, bool]]:
    """Every setting with values at the ends of what it may be, and whether each is inside."""
    for part, name in FIELDS:
        expected, limit = hints(part)[name], limits(part, name)
        takes = (expected, *get_args(expected))
        yield part, name, None, type(None) in takes
        if isinstance(limit, Range):
            inside, outside = steps(limit, float not in takes)
            outside += [math.nan, math.inf, -math.inf, 10**400] if float in takes else [10**400]
        elif isinstance(limit, Choice):
            inside, outside = list(limit.words), ["", limit.words[0].upper(), f"{limit.words[0]} ", "nonsense"]
            (inside if limit.several else outside).append(",".join(limit.words[-2:]))
            outside += [f"{limit.alone},{limit.words[-1]}", f"{limit.words[-1]},{limit.alone}"] if limit.alone else []
        elif isinstance(limit, Text):
            inside, outside = ["some text"], ["", " \t"]
        else:
            inside, outside = [True, False], [0, "true"]
        yield from ((part, name, value, True) for value in inside)
        yield from ((part, name, value, False) for value in outside)


CASES = list(cases())


def base_of(part: str) -> Profile:
    return profile("as-published") if part == "mismatched_prompt" else TINY


@pytest.mark.parametrize(("part", "name"), FIELDS)
def test_every_setting_declares_what_it_may_be_and_why(part, name):
    if hints(part)[name] is not bool:
        assert isinstance(limits(part, name), Range | Choice | Text)
        assert limits(part, name).why


def test_there_are_cases_of_every_setting_on_both_sides():
    assert len(FIELDS) > 70
    for inside in (True, False):
        assert {(part, name) for part, name, _, holds in CASES if holds == inside} == set(FIELDS)


@pytest.mark.parametrize("mark", ["__", "."])
def test_just_inside_is_taken(mark):
    for part, name, value, holds in CASES:
        if holds:
            made = config.assign(base_of(part), {f"{part}{mark}{name}": value}, mark=mark)
            assert getattr(getattr(made, part), name) == value, (part, name, value)
            config.check(made)


@pytest.mark.parametrize("mark", ["__", "."])
def test_just_outside_is_refused_under_the_name_that_was_typed_with_the_range_and_the_reason(mark):
    for part, name, value, holds in CASES:
        if holds:
            continue
        address = f"{part}{mark}{name}"
        with pytest.raises(ValueError, match=r"must be") as error:
            config.assign(base_of(part), {address: value}, mark=mark)
        words = str(error.value)
        assert words.startswith(f"{address} must be "), words
        if "of type" not in words:
            assert str(limits(part, name)) in words, words
            assert limits(part, name).why in words


def test_what_was_not_made_by_variant_is_looked_at_when_it_is_to_be_run(tmp_path):
    for part, name, value, holds in CASES:
        if not holds:
            start = base_of(part)
            made = replace(start, **{part: replace(getattr(start, part), **{name: value})})
            with pytest.raises(ValueError, match=rf"^{part}__{name} must be "):
                Study(made, 0, tmp_path)


def test_every_profile_is_inside():
    for chosen in PROFILES.values():
        config.check(chosen)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("sft.micro_batch_size=0", "sft.micro_batch_size must be at least 1"),
        ("dpo.batch_size=0", "dpo.batch_size must be at least 1"),
        ("grpo.updates_per_generation=0", "grpo.updates_per_generation must be at least 1"),
        ("pairs.samples=0", "pairs.samples must be at least 1"),
        ("data.dev_rows=0", "data.dev_rows must be at least 1"),
        ("data.train_rows=0", "data.train_rows must be at least 1 and at most 1,000,000,000, or null, but is 0"),
        ("data.train_rows=-1", "data.train_rows must be at least 1"),
        ("data.test_rows=-5", "data.test_rows must be at least 1"),
        ("grpo.batch_size=0", "grpo.batch_size must be at least 1"),
        ("grpo.temperature=0", "grpo.temperature must be at least 0.01"),
        ("grpo.beta=-0.1", "grpo.beta must be at least 0 and at most 100, but is -0.1"),
        ("grpo.epsilon=-1", "grpo.epsilon must be above 0"),
        ("dpo.beta=0", "dpo.beta must be at least 0.0001 and at most 100, but is 0: at 0 the loss has no gradient"),
        ("dpo.beta=-0.1", "dpo.beta must be at least 0.0001"),
        ("data.miss=1.5", "data.miss must be at least 0 and at most 1, but is 1.5"),
        ("decoding.top_p=0", "decoding.top_p must be above 0 and at most 1"),
        ("sft.learning_rate=NaN", "sft.learning_rate must be a number above 0, but is nan"),
        ("sft.learning_rate=1e400", "sft.learning_rate must be a number above 0, but is inf"),
        ("grpo.loss=ppo", "grpo.loss must be one of grpo, dr_grpo, dapo, but is 'ppo'"),
        ("engine.precision=fp8", "engine.precision must be one of auto, bf16, fp16, fp32"),
        ("engine.report_to=wanbd", "engine.report_to must be one of none, tensorboard"),
        ("pairs.split=test", "pairs.split must be one of preference, train, but is 'test'"),
        ("pairs.reward=beau", "unknown reward 'beau'"),
        ("grpo.reward=0.5*bleu", "the weights must be above 0 and sum to 1"),
        ("dpo.beta=1e-300", "dpo.beta must be at least 0.0001 and at most 100"),
        ("dpo.beta=1e300", "dpo.beta must be at least 0.0001 and at most 100"),
        ("grpo.beta=1e300", "grpo.beta must be at least 0 and at most 100"),
        ("sft.weight_decay=1e9", "sft.weight_decay must be at least 0 and at most 10"),
        ("sft.max_grad_norm=1e-300", "sft.max_grad_norm must be 0, or a number at least 0.001"),
        ("engine.report_to=none,wandb", "engine.report_to must be one of none"),
        ("pairs.reward=BLEU", "pairs.reward: unknown reward 'BLEU'"),
        ("grpo.reward=.*bleu", "grpo.reward: the reward '.*bleu' is of neither form"),
        ("grpo.reward=1.2.3*bleu", "grpo.reward: the reward '1.2.3*bleu' is of neither form"),
        ("pairs.temperature=0", "pairs.temperature is 0, so that 4 samples of a prompt would all be the same"),
        ("pairs.second_temperature=0", "pairs.second_temperature is 0, so that 2 samples of a prompt"),
    ],
)
@pytest.mark.parametrize("command", [["run", "sft"], ["doctor", "--quick"], ["plan"], ["trial"]])
def test_the_command_line_refuses_a_setting_at_once_and_makes_nothing(
    message, monkeypatch, tmp_path, command, assignment, words
):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    shown = message(*command, "--profile", "smoke", "--set", assignment)
    assert words in shown
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seed", [-1, 2**32, 10**400, 1.5, "0", True, None])
def test_a_seed_that_numpy_does_not_take_is_refused_in_our_words(seed, tmp_path):
    with pytest.raises(ValueError, match=r"^the seed must be "):
        Study("smoke", seed, tmp_path)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_first_and_the_last_seed_are_taken(seed, tmp_path):
    assert Study("smoke", seed, tmp_path).seed == seed


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_a_seed_of_numpy_becomes_a_plain_number_that_numpy_takes(seed, tmp_path):
    plain = Study("smoke", np.int64(seed), tmp_path).seed
    assert (plain, type(plain)) == (seed, int)
    np.random.seed(plain)  # noqa: NPY002 - what Transformers calls


def test_the_words_are_those_that_are_understood():
    assert set(config.SAMPLERS) == set(vllm_sampling.SAMPLERS)
    assert set(config.PRECISIONS) == {"auto", *loading.PRECISIONS}
    assert config.SELECTIONS is pairs.SELECTIONS


def test_a_range_shows_its_ends_as_they_are():
    assert str(Range(0, 1, low_open=True)) == "above 0 and at most 1"
    assert str(Range(0.01, 100, beside=0)) == "0, or at least 0.01 and at most 100"
    assert str(Range(0)) == "a number at least 0"


# As they were recorded: results are found by these.
DIGESTS = {
    "smoke": "1e9c0b1ef782",
    "tiny": "f52ad128d088",
    "smollm-135m": "ceae14202ac6",
    "smollm-360m": "86ec2469ef12",
    "llama-3.2-1b": "d2aa41a4b2d6",
    "as-published": "565a6aa888ed",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_digests_of_the_profiles_are_those_on_record(name):
    assert settings_digest(profile(name)) == DIGESTS[name]
