"""The recipe of the base model: what it writes down, and that it goes on where it was cut off."""

import json
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from gecalign.corpus.tinygec import pretrain
from gecalign.models import loading

RECIPE = pretrain.Recipe(
    vocabulary=320, tokenizer_sentences=50, hidden_size=16, layers=1, heads=2, intermediate_size=32,
    documents=120, block=32, batch_size=4, steps=4, warmup_steps=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    pretrain.pretrain(RECIPE, folder)
    return folder


def test_the_result_loads_as_a_model_with_its_tokenizer(made):
    model, tokenizer = loading.load(made)
    assert model.config.vocab_size == len(tokenizer) == RECIPE.vocabulary


def test_the_card_records_the_recipe_and_what_it_was_trained_on(made):
    card = json.loads((made / "recipe.json").read_text())
    assert pretrain.Recipe(**card["recipe"]) == RECIPE
    assert card["tokens_trained_on"] == 4 * 4 * 32
    assert card["beginning_digest"] == pretrain.beginning_digest(RECIPE)
    assert card["data_digest"] in (made / "README.md").read_text()


def test_the_same_recipe_gives_the_same_weights(made, tmp_path):
    pretrain.pretrain(RECIPE, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


def test_every_parameter_moved(made):
    _, tokenizer = loading.load(made)
    before = pretrain.initial_model(RECIPE, tokenizer).state_dict()
    after = load_file(made / "model.safetensors")
    assert not [name for name, tensor in after.items() if (tensor == before[name]).all()]


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(made, tmp_path, monkeypatch):
    step, calls = pretrain.Trainer.training_step, []

    def cut_off_in_the_third(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(pretrain.Trainer, "training_step", cut_off_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            pretrain.pretrain(RECIPE, tmp_path)
    assert (tmp_path / "checkpoints" / "checkpoint-2").exists()
    resumed: list[int] = []
    monkeypatch.setattr(pretrain.Trainer, "training_step", lambda *args: (resumed.append(1), step(*args))[1])
    pretrain.pretrain(RECIPE, tmp_path)
    log = json.loads((tmp_path / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4]
    assert len(resumed) == 2  # the first two updates were not made again
    assert (tmp_path / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


def test_documents_repeat_themselves_word_by_word_as_often_as_the_recipe_says():
    def repeats(text: str) -> bool:
        return any(
            text == separator.join([text[: (len(text) - (times - 1) * len(separator)) // times]] * times)
            for separator in ("\n", " ", "\n\n")
            for times in (2, 3)
        )

    texts = list(pretrain.documents(replace(RECIPE, documents=1000)))
    share = sum(map(repeats, texts)) / len(texts)
    assert abs(share - RECIPE.echo_share) < 4 * (0.7 * 0.3 / 1000) ** 0.5  # four standard errors
