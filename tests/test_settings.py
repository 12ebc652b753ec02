"""Values after `--set` are what their settings are, however one types them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from gecalign import config, prompts, settings

TINY = config.profile("tiny")

TYPED = [
    # names may look like numbers or words of JSON, and stay names
    ("model.name=135", "135"),
    ("model.name=007", "007"),
    ("model.name=true", "true"),
    ("model.name=1e3", "1e3"),
    ("model.name=~/my model", "~/my model"),
    ('model.name="135"', "135"),
    ("model.revision=1234567", "1234567"),
    ("model.revision=12e45678", "12e45678"),
    ("data.source=2024", "2024"),
    ("data.task=2", "2"),
    ("data.task=null", None),
    ("data.task=None", None),
    ('data.task="none"', "none"),
    ("engine.report_to=none", "none"),
    ("engine.vllm_url=http://host:8000/?a=b", "http://host:8000/?a=b"),
    ('prompt.template="Fix: {source}\\nC:"', "Fix: {source}\nC:"),
    ("prompt.template=[{source}]", "[{source}]"),
    # whole numbers
    ("sft.steps=100", 100),
    ("sft.steps= 100 ", 100),
    ("sft.steps=1e3", 1000),
    ("sft.steps=1000.0", 1000),
    ("sft.steps=1_000", 1000),
    ("sft.micro_batch_size=None", None),
    ("sft.micro_batch_size=none", None),
    ("sft.micro_batch_size=4", 4),
    # others
    ("sft.learning_rate=.001", 0.001),
    ("sft.learning_rate=1e-3", 0.001),
    ("sft.learning_rate=1", 1.0),
    ("pairs.second_temperature=1", 1.0),
    ("pairs.second_temperature=NULL", None),
    ("decoding.temperature=0", 0.0),
    # switches
    ("sft.completion_only_loss=True", True),
    ("sft.completion_only_loss=FALSE", False),
    # as Python and the book write it
    ("sft__steps=100", 100),
    ("reward_check__prompts=5", 5),
]


@pytest.mark.parametrize(("assignment", "expected"), TYPED)
def test_a_value_is_read_as_what_its_setting_is(assignment, expected):
    ((address, _),) = settings.read([assignment]).items()
    part, name = address.split(".")
    made = getattr(getattr(config.assign(TINY, settings.read([assignment]), mark="."), part), name)
    assert (made, type(made)) == (expected, type(expected))


@pytest.mark.parametrize(
    "assignment",
    [
        "sft.steps=1.5", "sft.steps=1,000", "sft.steps=", "sft.steps=true", "sft.steps={}", "sft.steps=[5]",
        "sft.learning_rate=1,5e-3", "sft.learning_rate=fast", "sft.learning_rate=null", "data.miss=50%",
        "sft.completion_only_loss=0", "sft.completion_only_loss=no", "model.name=null", "lora.rank=None",
    ],
)  # fmt: skip
def test_what_is_no_such_value_is_refused_by_its_type(assignment):
    address = assignment.partition("=")[0]
    with pytest.raises(ValueError, match=rf"^{address} must be of type "):
        config.assign(TINY, settings.read([assignment]), mark=".")


@pytest.mark.parametrize("assignment", ["sft.steps", "=5", "steps=5", "name=x", ""])
def test_what_is_no_assignment_is_refused(assignment):
    with pytest.raises(ValueError, match=r"--set takes part\.field=value"):
        settings.read([assignment])


def test_of_two_the_last_counts():
    assert settings.read(["sft.steps=5", "sft__steps=6"]) == {"sft.steps": 6}


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_value_of_every_profile_comes_back_as_json_and_as_python_write_it(profile):
    chosen = config.profile(profile)
    for part in settings.PARTS:
        for field in fields(getattr(chosen, part)):
            value = getattr(getattr(chosen, part), field.name)
            for typed in (json.dumps(value), str(value)):
                found = settings.read([f"{part}.{field.name}={typed}"])
                made = config.assign(chosen, found, mark=".")
                assert getattr(getattr(made, part), field.name) == value, (part, field.name, typed)


def test_a_whole_number_where_any_is_taken_makes_the_same_settings():
    for part in settings.PARTS:
        for field in fields(getattr(TINY, part)):
            if float in config.kinds(part, field.name):
                one, same = ({f"{part}__{field.name}": value} for value in (1, 1.0))
                try:
                    made = TINY.variant(**one)
                except ValueError:  # 1 lies outside
                    continue
                assert repr(made) == repr(TINY.variant(**same)), field.name


# ---- messages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lower sft__steps.", "Lower sft.steps."),
        ("(sft__steps=3)", "(sft.steps=3)"),
        ("`dpo__beta`, which is 1", "`dpo.beta`, which is 1"),
        ("there is no file sft__steps.jsonl.", "there is no file sft__steps.jsonl."),
        ("there is no file dpo__beta/a.txt.", "there is no file dpo__beta/a.txt."),
        ("there is no file /runs/dpo__beta.", "there is no file /runs/dpo__beta."),
        ("there is no file a-dpo__beta-0.1.csv.", "there is no file a-dpo__beta-0.1.csv."),
        ("C:\\dpo__beta", "C:\\dpo__beta"),
    ],
)
def test_settings_are_named_as_typed_and_files_as_they_are_called(text, expected):
    assert settings.as_typed(text) == expected


@pytest.mark.parametrize("template", ["Fix: {source}\\nC:", "Fix:\\n{source}"])
def test_a_line_feed_that_the_shell_did_not_make_is_refused_with_how_it_makes_one(template):
    with pytest.raises(ValueError, match=r"backslash and an n.*\$'Fix grammar: \{source\}\\nCorrected:'"):
        prompts.validate(config.Prompt(template))
