import subprocess
import sys
from dataclasses import asdict

import pytest

from gecalign.config import PROFILES, SFT, check_seeds, profile

LIGHT = (
    "config", "prompts", "systems", "settings", "runtime.store", "runtime.processes", "statistics.compare",
    "statistics.design", "statistics.seeds", "corpus.data", "corpus.edits", "metrics", "metrics.predictions",
    "models.memory", "preferences.rewards", "study", "study.trained", "study.mistakes", "study.existing",
    "checks.doctor", "cli",
)  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """Return the names of the top-level modules that are loaded after `statement` in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_variant_changes_the_named_values_and_nothing_else():
    before = profile("tiny")
    after = before.variant("mine", sft__steps=7, sft__batch_size=3, data__dev_rows=11)
    assert (after.name, after.sft.steps, after.sft.batch_size, after.data.dev_rows) == ("mine", 7, 3, 11)
    expected = asdict(before)
    expected["name"] = "mine"
    expected["sft"] |= {"steps": 7, "batch_size": 3}
    expected["data"]["dev_rows"] = 11
    assert asdict(after) == expected


def test_variant_leaves_the_original_as_it_was():
    before = asdict(profile("tiny"))
    profile("tiny").variant(sft__steps=7)
    assert asdict(profile("tiny")) == before


def test_variant_without_a_name_keeps_the_name():
    assert profile("tiny").variant(sft__steps=7).name == "tiny"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sfd__steps": 1}, ["no part 'sfd'", "sft", "data", "decoding", "part__field"]),
        ({"steps": 1}, ["no part 'steps'", "part__field"]),
        ({"name__x": 1}, ["no part 'name'"]),
        ({"sft__stepz": 1}, ["'sft' has no field 'stepz'", "steps", "batch_size"]),
        ({"sft__steps": "100"}, ["sft__steps", "int", "'100'", "str"]),
        ({"sft__steps": 1.5}, ["sft__steps", "int", "1.5"]),
        ({"sft__steps": True}, ["sft__steps", "int", "True"]),
        ({"sft__completion_only_loss": 1}, ["completion_only_loss", "bool"]),
        ({"data__source": None}, ["data__source", "str", "None"]),
        ({"data__train_rows": "all"}, ["data__train_rows", "int | None", "'all'"]),
    ],
)
def test_variant_refuses_what_a_profile_does_not_have_and_names_what_it_has(changes, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are checked below
        profile("tiny").variant(**changes)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    "changes",
    [{"sft__learning_rate": 1}, {"engine__memory_gb": 4}, {"data__train_rows": None}, {"data__revision": "abc"}],
)
def test_variant_takes_an_int_for_a_float_and_none_where_none_is_meant(changes):
    ((address, value),) = changes.items()
    part, field = address.split("__")
    assert getattr(getattr(profile("tiny").variant(**changes), part), field) == value


def test_unknown_profile_is_answered_with_the_nearest_name_and_the_list():
    with pytest.raises(
        ValueError, match=r"unknown profile 'tinny'.*Did you mean 'tiny'.*smoke, tiny, smollm2-135m, smollm-135m"
    ):
        profile("tinny")


def test_every_profile_is_found_under_its_own_name():
    assert all(profile(name).name == name for name in PROFILES)


def test_every_default_has_the_type_that_variant_asks_for():
    for chosen in PROFILES.values():
        changes = {
            f"{part}__{field}": value
            for part, fields in asdict(chosen).items() if isinstance(fields, dict)
            for field, value in fields.items()
        }  # fmt: skip
        assert chosen.variant(**changes) == chosen


def test_profiles_from_the_hub_are_pinned():
    hub = [p for p in PROFILES.values() if "/" in p.model.name or "/" in p.data.source]
    assert hub
    assert all(p.model.revision and p.data.revision for p in hub)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        SFT().steps = 3


def test_importing_gecalign_loads_only_itself():
    assert modules_after("import gecalign") - modules_after("pass") <= {"gecalign"}


def test_what_needs_no_tensors_does_not_import_torch():
    heavy = {"torch", "transformers", "trl", "datasets", "accelerate"}
    light, tables = LIGHT, ("plan", "report", "export")  # pandas brings pyarrow
    assert not modules_after("; ".join(f"import gecalign.{name}" for name in light)) & {*heavy, "pyarrow"}
    assert not modules_after("; ".join(f"import gecalign.{name}" for name in tables)) & heavy


@pytest.mark.parametrize("seeds", ["3", 2.5, None, True])
def test_a_number_of_seeds_that_is_none_is_refused_in_words(seeds):
    with pytest.raises(ValueError, match=r"the number of seeds is .*; expected a whole number"):
        check_seeds(seeds, 2)


@pytest.mark.parametrize("name", [None, 3, ["tiny"]])
def test_a_profile_that_is_no_name_is_refused_in_words(name, tmp_path):
    from gecalign.study import Study

    with pytest.raises(ValueError, match=r"the profile is .*; expected a name: smoke, tiny"):
        Study(name, 0, tmp_path)
