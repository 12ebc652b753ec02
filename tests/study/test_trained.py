"""The trained systems: who starts from whom, on what they are trained, and what makes a control a control."""

from dataclasses import replace

import factories
import pytest
import torch
from methods import weights

from gecalign import prompts
from gecalign.preferences import pairs, rewards
from gecalign.study import Study, designs
from gecalign.study.stages import TRAINED
from gecalign.study.trained import SECOND_TEMPERATURE
from gecalign.systems import ASKED_FOR, COMPARED, LABELS, MISTAKES, SYSTEMS, UNTRAINED
from gecalign.training import dpo, grpo, rloo, sft

FROM_SFT = [
    name for name in TRAINED if not name.startswith("sft") or name in ("sft-continued", "sft-fresh", "sft-careful")
]
PREFERENCE = ("dpo", "grpo", "rloo")  # two models are passed to these: the policy and its reference


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("trained")
    corpus = factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    return Study(factories.preference_profile(factories.base_folder(folder / "base"), corpus), 0, folder / "runs")


def spec(study: Study, system: str) -> dict:
    return study.trained(system).record["spec"]


def trained_on(study: Study, system: str, patch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Return the rows that a supervised system is trained on, without training it."""
    seen: list[dict[str, str]] = []

    class Seen(Exception):
        pass

    def look(start, rows, *_, **means):
        seen.extend(rows)
        raise Seen

    patch.setattr(sft, "train", look)
    with pytest.raises(Seen):
        study.variant(study.profile.variant(continued__learning_rate=7e-4)).trained(system)  # not made before
    return seen


def test_every_system_is_either_trained_or_not_and_has_a_label_of_its_own():
    assert set(SYSTEMS) == {*TRAINED, *UNTRAINED}
    assert not set(TRAINED) & set(UNTRAINED)
    assert {*COMPARED, *MISTAKES, *ASKED_FOR} == set(SYSTEMS)
    assert len(set(LABELS.values())) == len(LABELS)


@pytest.mark.parametrize("system", FROM_SFT)
def test_a_system_starts_from_sft_with_sft_as_its_reference_and_becomes_another_model(study, monkeypatch, system):
    start, passed = weights(study.sft().folder), []

    def watched(ordinary):
        def watching(*arguments, **means):
            passed.extend(
                {name: weight.clone() for name, weight in argument.state_dict().items()}
                for given in arguments
                for argument in (given if isinstance(given, tuple) else [given])
                if isinstance(argument, torch.nn.Module)
            )
            return ordinary(*arguments, **means)

        return watching

    for method in (sft, dpo, grpo, rloo):
        monkeypatch.setattr(method, "train", watched(method.train))
    rate = 2e-3 + 1e-5 * FROM_SFT.index(system)  # one of its own, so that it is made now
    changes = {f"{part}__learning_rate": rate for part in ("dpo", "grpo", "rloo", "continued")}
    stage = study.variant(study.profile.variant(**changes)).trained(system)
    assert len(passed) == (2 if system.startswith(PREFERENCE) else 1)
    assert all(torch.equal(state[name], start[name]) for state in passed for name in start)
    assert [name for name, weight in weights(stage.folder).items() if torch.equal(weight, start[name])] == []


@pytest.mark.parametrize("system", ["dpo", "grpo", "sft-continued", "raft"])
def test_the_evaluation_on_dev_gives_the_bleu_that_the_checkpoint_was_chosen_by(study, system):
    assert study.evaluation(system, "dev").scores.scores["BLEU"].value == study.trained(system).facts["dev_bleu"]
    assert study.log(system)["eval_bleu"].notna().any()


def test_a_trained_system_is_not_evaluated_with_another_prompt(study):
    other = replace(study.profile.prompt, template="Correct: {source}\n->")
    for system in ("grpo", "best-of-n"):
        with pytest.raises(ValueError, match="allow_other_prompt=True"):
            study.evaluation(system, "dev", prompt=other)


# ---- the controls


@pytest.mark.parametrize("system", ["sft-continued", "sft-fresh", "sft-careful", "raft", "random-of-k"])
def test_the_controls_make_as_many_updates_as_grpo(study, system):
    settings = spec(study, system)["settings"]
    assert settings["steps"] == study.profile.grpo.steps
    assert settings["learning_rate"] == study.profile.continued.learning_rate
    assert study.log(system)["eval_bleu"].notna().sum() == 2  # before, and as often as was asked for


@pytest.mark.parametrize(
    ("system", "split", "target"),
    [
        ("sft-continued", "train", "demonstration"),
        ("sft-fresh", "preference", "demonstration"),
        ("sft-careful", "preference", "reference"),
    ],
)
def test_a_control_is_trained_on_what_its_name_says(study, monkeypatch, system, split, target):
    expected = [
        {"prompt": prompts.render(study.profile.prompt, e.source), "completion": prompts.completion(getattr(e, target))}
        for e in study.examples(split)
    ]
    assert trained_on(study, system, monkeypatch) == expected


def test_raft_is_trained_on_the_best_sample_of_each_prompt_and_its_control_on_the_first(study, monkeypatch):
    drawn = pairs.read_sampled(study.samples().folder / "samples.jsonl")
    complete = [(p, [s.text for s in p.samples if not s.truncated]) for p in drawn]
    complete = [(p, texts) for p, texts in complete if texts]
    bleu = rewards.REWARDS["bleu"]
    best = [max(texts, key=lambda text, p=p: bleu(text, p.reference, p.source)) for p, texts in complete]
    with monkeypatch.context() as patch:
        assert [row["completion"] for row in trained_on(study, "raft", patch)] == [f" {text}" for text in best]
    first = trained_on(study, "random-of-k", monkeypatch)
    assert [row["completion"] for row in first] == [f" {texts[0]}" for _, texts in complete]
    assert best != [texts[0] for _, texts in complete]


def test_dpo_with_references_has_the_same_samples_and_the_references_as_chosen(study):
    other = study.variant(study.profile.variant(pairs__selection="reference"))
    assert spec(study, "dpo-reference")["pairs"] == other.pairs().content != study.pairs().content
    assert other.samples().content == study.samples().content
    assert all(p.chosen == f" {p.reference}" for p in pairs.read(other.pairs().folder / "pairs.jsonl"))


def test_dpo_at_two_temperatures_differs_in_its_samples_alone(study):
    mine, usual = spec(study, "dpo-two-temperatures"), spec(study, "dpo")
    assert {name for name in usual if usual[name] != mine[name]} == {"pairs"}
    other = study.variant(study.profile.variant(pairs__second_temperature=SECOND_TEMPERATURE))
    assert mine["pairs"] == other.pairs().content


def test_unmasked_sft_differs_in_its_loss_alone(study):
    mine, usual = spec(study, "sft-unmasked"), spec(study, "sft")
    changed = {name for name in usual["settings"] if usual["settings"][name] != mine["settings"][name]}
    assert changed == {"completion_only_loss"}
    assert {**mine, "settings": 0} == {**usual, "settings": 0}


def test_group_sizes_take_as_many_samples_in_all(study):
    facts = {system: study.trained(system).facts for system in ("grpo-4", "grpo", "grpo-16")}
    assert len({fact["samples_in_all"] for fact in facts.values()}) == 1
    assert spec(study, "grpo-16")["settings"]["group_size"] == 16
    assert facts["grpo-16"]["prompts_in_all"] * 4 == facts["grpo-4"]["prompts_in_all"]


def test_a_batch_that_larger_groups_do_not_fit_into_gets_the_published_design(study):
    small = study.variant(study.profile.variant(grpo__batch_size=4, grpo__group_size=4))
    assert designs.possible(small.profile) == ["equal steps"]
    settings = small.trained("grpo-16").record["spec"]["settings"]
    assert (settings["batch_size"], settings["group_size"], settings["updates_per_generation"]) == (4, 16, 4)


def test_grpo_says_how_many_tokens_it_sampled(study):
    facts, log = study.grpo().facts, study.log("grpo")
    assert facts["sampled_tokens"] == round(facts["samples_in_all"] * log["completions/mean_length"].mean())
    assert 0 < facts["sampled_tokens"] < facts["tokens"]  # the latter holds the prompts too


def test_the_best_of_n_is_the_sample_with_the_highest_reward(study, monkeypatch):
    from gecalign.training import sampling

    drawn, ordinary = [], sampling.draw
    monkeypatch.setattr(sampling, "draw", lambda *a, **k: drawn.extend(ordinary(*a, **k)) or drawn)
    found = study.evaluation("best-of-n", "test")
    assert [p.id for p in drawn] == [e.id for e in study.examples("test")]
    bleu = rewards.REWARDS["bleu"]
    for prompted, prediction in zip(drawn, found.predictions, strict=True):
        assert len(prompted.samples) == study.profile.reward_check.samples
        values = [bleu(s.text, prompted.reference, prompted.source) for s in prompted.samples]
        assert bleu(prediction.hypothesis, prediction.reference, prediction.source) == max(values)
        assert prediction.tokens == sum(s.tokens for s in prompted.samples)
