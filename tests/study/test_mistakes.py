"""Mistakes made on purpose do what they are said to do."""

import pytest
import torch

from gecalign.study import Study, mistakes
from gecalign.training import dpo, sft


@pytest.fixture(scope="module")
def study(small_study) -> Study:
    return small_study.of_seed(0)


# ---- trainings


def test_the_text_column_takes_the_eos_away_from_the_completion(study, monkeypatch):
    built = {}
    ordinary = sft.trainer

    def watching(*arguments, **options):
        trainer = ordinary(*arguments, **options)
        ids, labels = trainer.train_dataset[0]["input_ids"], trainer.train_dataset[0]["labels"]
        built["last"] = [token for token, label in zip(ids, labels, strict=True) if label != -100][-1]
        return trainer

    monkeypatch.setattr(sft, "trainer", watching)
    study = study.variant(study.profile.variant(grpo__steps=3))  # as long as this SFT: not trained before
    _, tokenizer = study.model("base")
    mistakes.briefly_trained(study, eos=True)
    assert built.pop("last") == tokenizer.eos_token_id
    mistakes.briefly_trained(study, eos=False)
    assert built.pop("last") != tokenizer.eos_token_id


def test_rounded_weights_are_those_of_bf16_after_every_update():
    model = torch.nn.Linear(7, 5)
    mistakes._rounding().on_step_end(None, None, None, model=model)
    for weight in model.parameters():
        assert torch.equal(weight, weight.to(torch.bfloat16).float())


def test_weights_in_bf16_move_less_than_in_fp32(study):
    rounded = mistakes.in_bf16(study)
    assert rounded.stage.facts["unmoved"] > mistakes.unmoved(study, "dpo")
    assert [p.id for p in rounded.predictions] == [e.id for e in study.examples("dev")]


def test_a_model_has_not_moved_from_itself(study):
    assert mistakes.unmoved(study, "sft") == 1


def test_these_trainings_are_stages_too(study, monkeypatch):
    mistakes.in_bf16(study)
    monkeypatch.setattr(dpo, "trainer", lambda *_: pytest.fail("trained again"))
    mistakes.in_bf16(study)
