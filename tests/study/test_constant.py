"""A system that is another one, decoded with a constant against copying that is chosen on dev."""

import pytest

from gecalign import config, metrics
from gecalign.config import Decoding
from gecalign.settings import settings_digest
from gecalign.study import constant
from gecalign.systems import DECODED


@pytest.mark.slow
def test_the_constant_that_is_best_on_dev_decodes_the_test_set(small_study, monkeypatch):
    monkeypatch.setattr(constant, "GRID", (0.0, 1.0, -1.0))
    study = small_study.of_seed(0)
    scored = {b: study.evaluation("sft", "dev", constant.decoding(study.profile.decoding, b)) for b in constant.GRID}
    bleu = {b: metrics.bleu.corpus(one.hypotheses, one.references).value for b, one in scored.items()}
    assert study.constant("sft-constant") == max(bleu, key=lambda b: bleu[b])
    monkeypatch.setattr(type(study), "constant", lambda *_: 1.0)
    found = study.evaluation("sft-constant", "test")
    expected = study.evaluation("sft", "test", constant.decoding(study.profile.decoding, 1.0))
    assert found.hypotheses == expected.hypotheses
    assert found.stage.record["spec"]["model"] == study.sft().content
    assert found.stage.record["spec"]["decoding"]["against_copying"] == 1.0


def test_every_such_system_is_of_one_that_is_trained(small_study):
    study = small_study.of_seed(0)
    assert set(DECODED.values()) == {"sft", "dpo", "grpo"}
    assert study.identity("dpo-constant") == study.identity("dpo")


def test_a_decoding_without_it_is_what_it_was_before():
    assert "against_copying" not in config.decides(Decoding())
    assert config.decides(Decoding(against_copying=0.5))["against_copying"] == 0.5
    profile = config.profile("tiny")
    changed = profile.variant(decoding__against_copying=0.5)
    assert settings_digest(changed) != settings_digest(profile)
