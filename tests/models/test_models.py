import gc
import json
import shutil
import weakref
from pathlib import Path

import factories
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from gecalign.config import Model
from gecalign.models import loading, saving


@pytest.fixture
def copy(base, tmp_path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def refused(source: Path | Model) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the callers check the words
        loading.load(source)
    return str(error.value)


@pytest.mark.parametrize("as_config", [True, False])
def test_a_complete_folder_loads_in_32_bits_with_a_left_padded_tokenizer(base, as_config):
    model, tokenizer = loading.load(Model(str(base)) if as_config else base)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.device.type for p in model.parameters()} == {loading.device().type}
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|pad|>")


def test_weights_that_were_saved_in_16_bits_load_in_32(base, copy):
    model, tokenizer = loading.load(base)
    saving.save(model.to(torch.float16), tokenizer, copy)
    assert {t.dtype for t in load_file(copy / "model.safetensors").values()} == {torch.float16}
    assert {p.dtype for p in loading.load(copy)[0].parameters()} == {torch.float32}


@pytest.mark.parametrize("offline", [True, False])
def test_a_folder_is_the_same_whether_the_hub_is_switched_off_or_not(base, tmp_path, offline):
    model, tokenizer = loading.load(base)
    tokenizer.init_kwargs["local_files_only"] = offline  # as Transformers notes it by HF_HUB_OFFLINE
    saving.save(model, tokenizer, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["local_files_only"] is False


def test_saving_and_loading_keeps_every_weight_and_token(base, tmp_path):
    model, tokenizer = loading.load(base)
    saving.save(model, tokenizer, tmp_path)
    again, same = loading.load(tmp_path)
    for (name, before), (_, after) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(before, after), name
    assert same.get_vocab() == tokenizer.get_vocab()
    assert list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob("*.bin"))


def only_pickled_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def drop_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_the_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))


def cut_short(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def leave_a_git_lfs_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


DAMAGES = [
    (
        lambda f: [path.unlink() for path in f.glob("tokenizer*")],
        ["no tokenizer.json", "tokenizer.save_pretrained"],
    ),
    (lambda f: (f / "tokenizer.json").unlink(), ["no tokenizer.json", "tokenizer.save_pretrained"]),
    (lambda f: (f / "tokenizer.json").write_text("{"), ["could not be loaded", "damaged"]),
    (lambda f: (f / "model.safetensors").unlink(), ["no *.safetensors", "model.save_pretrained"]),
    (only_pickled_weights, ["no *.safetensors"]),
    (lambda f: (f / "config.json").unlink(), ["no config.json"]),
    (lambda f: (f / "config.json").write_text("{"), ["could not be loaded", "damaged"]),
    (drop_a_tensor, ["lack 1 tensors", "model.layers.1.mlp.up_proj.weight", "damaged"]),
    (change_the_shape, ["could not be loaded", "belongs to another model"]),
    (cut_short, ["could not be loaded", "copy or download the folder again"]),
    (leave_a_git_lfs_pointer, ["could not be loaded", "copy or download the folder again"]),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_folder_that_is_not_whole_is_refused_and_named(copy, damage, words):
    damage(copy)
    message = refused(copy)
    assert all(word in message for word in (*words, str(copy))), message
    assert "go online" not in message


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    assert "no config.json and no *.safetensors" in refused(tmp_path / "absent")


def test_a_hub_name_needs_a_revision():
    message = refused(Model("nobody/nothing"))
    assert "is not a local folder" in message
    assert "model__revision" in message


def test_an_unreachable_hub_is_answered_with_three_ways_out():
    message = refused(Model("nobody/nothing", "0" * 40))
    assert "Three ways out: go online" in message
    assert "model__name" in message
    assert "tiny" in message


def test_a_tokenizer_without_padding_gets_its_eos_for_it(copy):
    factories.save_tokenizer(copy, pad_token=None)
    assert loading.load(copy)[1].pad_token == "<|endoftext|>"


def test_a_tokenizer_without_eos_is_refused(copy):
    factories.save_tokenizer(copy, eos_token=None)
    assert "has no EOS token, so no model could learn where to stop" in refused(copy)


def test_decoding_settings_that_came_with_a_model_are_left_behind(copy):
    GenerationConfig(repetition_penalty=5.0, no_repeat_ngram_size=2, do_sample=True).save_pretrained(copy)
    found = loading.load(copy)[0].generation_config
    assert (found.repetition_penalty, found.no_repeat_ngram_size, found.do_sample) == (None, None, None)


def test_the_identity_of_a_local_model_follows_its_weights(base, copy):
    same = loading.identity(Model(str(base)))
    assert loading.identity(Model(str(copy))) == same
    (copy / "README.md").write_text("# A card, written later\n")
    assert loading.identity(Model(str(copy))) == same
    factories.save_model(copy, seed=1)
    assert loading.identity(Model(str(copy))) != same


def test_the_identity_of_a_hub_model_is_its_name_and_revision():
    assert loading.identity(Model("some/model", "abc")) == "some/model@abc"


def test_before_a_model_goes_to_an_accelerator_those_that_nobody_holds_any_more_are_let_go(base, monkeypatch):
    class Trainer:
        def __init__(self):
            self.itself = self  # as trainers do, by their callbacks

    monkeypatch.setattr(loading, "device", lambda: torch.device("meta"))
    gc.disable()
    try:
        forgotten = weakref.ref(Trainer())
        assert forgotten() is not None
        loading.load(base)
        assert forgotten() is None
    finally:
        gc.enable()
