import pytest

from gecalign import prompts
from gecalign.config import PROFILES, Prompt

PROMPT = Prompt("Fix: {source}\nCorrected:")


@pytest.mark.parametrize("template", ["Fix this.", "", "{source} and {source}", "{ source }", "{}"])
def test_a_template_has_exactly_one_place_for_the_source(template):
    with pytest.raises(ValueError, match=r"\{source\} exactly once"):
        prompts.validate(Prompt(template))


def test_doubled_braces_are_refused_as_one_would_stand_on_each_side():
    with pytest.raises(ValueError, match=r"doubled braces.*Write them once"):
        prompts.validate(Prompt("Fix: {{source}}\nCorrected:"))


@pytest.mark.parametrize("blank", [" ", "\n", "\t", "\u00a0", "\u2003"])
def test_a_template_that_ends_in_white_space_is_refused(blank):
    with pytest.raises(ValueError, match=r"ends in white space.*Remove it"):
        prompts.validate(Prompt(f"Fix: {{source}}\nCorrected:{blank}"))


def test_the_prompts_of_all_profiles_are_valid():
    for profile in PROFILES.values():
        prompts.validate(profile.prompt)


@pytest.mark.parametrize(
    "source", ["{}", "{0}", "{source}", "{prompt.__class__}", "%s %(x)s", "\\1", "$source", "{{x}}"]
)
def test_whatever_stands_in_the_source_comes_through_literally(source):
    assert prompts.render(PROMPT, source) == f"Fix: {source}\nCorrected:"


def test_braces_elsewhere_in_the_template_are_literal():
    assert prompts.render(Prompt('{"text": {source}}'), "a") == '{"text": a}'


def test_hypothesis_undoes_completion():
    assert prompts.hypothesis(prompts.completion("She goes home.")) == "She goes home."


def test_a_completion_is_one_blank_and_the_text():
    assert prompts.completion("She goes.") == " She goes."


def test_the_digest_tells_templates_apart_and_nothing_else():
    assert prompts.digest(PROMPT) == prompts.digest(Prompt(PROMPT.template))
    assert prompts.digest(PROMPT) != prompts.digest(Prompt(PROMPT.template + "x"))


def test_check_same_refuses_another_prompt_and_says_how_to_insist():
    trained, asked = prompts.digest(PROMPT), prompts.digest(Prompt("{source}"))
    prompts.check_same(trained, trained)
    with pytest.raises(ValueError, match=f"{trained}.*{asked}.*allow_other_prompt=True"):
        prompts.check_same(trained, asked)
