import copy
import inspect

import factories
import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from gecalign.models import loading
from gecalign.models.lm_head import use_plain_head


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return loading.load(factories.base_folder(tmp_path_factory.mktemp("head") / "base"))


def batch(tokenizer) -> dict[str, torch.Tensor]:
    texts = [f"{source} {reference}" for source, reference in factories.pairs(6)]
    inputs = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    labels[:, :5] = -100  # a prompt
    return {**inputs, "labels": labels}


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("items", [None, 50])
def test_the_values_and_the_gradient_are_those_of_trls_own_head(base, temperature, items):
    model, tokenizer = base
    trls = copy.deepcopy(model)
    add_fused_lm_head(trls, temperature, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    plain = copy.deepcopy(model)
    add_fused_lm_head(plain, temperature)
    use_plain_head(plain, temperature)
    found = [m(**batch(tokenizer), fused_lm_head=True, num_items_in_batch=items) for m in (trls, plain)]
    for name in ("loss", "log_probs", "entropy", "mean_logits", "is_top1", "label_mask"):
        assert torch.allclose(*(getattr(output, name).float() for output in found), atol=1e-5), name
    assert found[1].log_probs.abs().sum() > 0
    for output in found:
        output.loss.backward()
    for one, other in zip(trls.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_other_calls_and_generation_stay_as_they_were(base):
    model, tokenizer = base
    changed = copy.deepcopy(model)
    add_fused_lm_head(changed)
    use_plain_head(changed)
    inputs = {k: v for k, v in batch(tokenizer).items() if k != "labels"}
    assert torch.equal(changed(**inputs).logits, model(**inputs).logits)
    assert torch.allclose(changed(**batch(tokenizer)).loss, model(**batch(tokenizer)).loss)
    assert inspect.signature(changed.forward).parameters.keys() == inspect.signature(model.forward).parameters.keys()
    written = [m.generate(**inputs, max_new_tokens=4, do_sample=False) for m in (model, changed)]
    assert torch.equal(*written)
