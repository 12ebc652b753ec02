"""RLOO: advantages and loss are the formulas', and it goes the same ways as GRPO."""

from dataclasses import replace
from pathlib import Path

import factories
import pandas as pd
import pytest
import torch
from methods import PROMPT, cut_off_after, run, same, unmoved

from gecalign import config
from gecalign.config import RLOO
from gecalign.models import loading
from gecalign.settings import settings_digest
from gecalign.training import rloo
from gecalign.training.rows import prompted

# the small base writes gibberish, of which "length" likes some more than other
SETTINGS = RLOO(
    steps=6, group_size=4, batch_size=8, learning_rate=1e-2, warmup_steps=0, evaluations=3, reward="length",
    temperature=1.0,
)  # fmt: skip
ROWS = factories.examples(12, seed=5)


def train_it(base: Path, folder: Path, settings: RLOO = SETTINGS) -> dict:
    return rloo.train(loading.load(base), loading.load(base)[0], ROWS, settings, run(folder))


def generation(base: Path, folder: Path, **changes: object):
    """A trainer, its first samples, and their rewards, shape (groups, group size)."""
    settings = replace(SETTINGS, **changes)
    trainer = rloo.trainer(loading.load(base), loading.load(base)[0], ROWS, settings, run(folder))
    rewards: list[torch.Tensor] = []
    ordinary = trainer._calculate_rewards
    trainer._calculate_rewards = lambda *given: rewards.append(ordinary(*given)) or rewards[-1]
    made = trainer._generate_and_score_completions([row for row in prompted(ROWS[:2], PROMPT) for _ in range(4)])
    return trainer, made, rewards[0].view(2, 4)


def test_an_advantage_is_the_reward_less_the_mean_of_the_others(base, tmp_path):
    _, made, rewards = generation(base, tmp_path)
    others = torch.stack([(row.sum() - row) / (len(row) - 1) for row in rewards])
    assert (rewards - others).abs().max() > 0
    torch.testing.assert_close(made["advantages"].view(2, -1), rewards - others)


def test_normalized_advantages_have_mean_0_and_deviation_1(base, tmp_path):
    _, made, _ = generation(base, tmp_path, normalize_advantages=True)
    assert made["advantages"].mean().item() == pytest.approx(0, abs=1e-5)
    assert made["advantages"].std().item() == pytest.approx(1, abs=1e-2)


def test_the_loss_is_that_of_whole_completions(base, tmp_path):
    trainer, made, _ = generation(base, tmp_path)
    made["old_logps"] = made["old_logps"] - 0.3 * torch.arange(8.0)  # as if the policy had moved on
    ids, mask = made["completion_ids"], made["completion_mask"]
    text = torch.cat([made["prompt_ids"], ids], dim=1)
    attended = torch.cat([made["prompt_mask"], mask], dim=1)
    logits = trainer.model(input_ids=text, attention_mask=attended).logits[:, -ids.shape[1] - 1 : -1]
    chosen = torch.log_softmax(logits / SETTINGS.temperature, dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    ratio = ((chosen * mask).sum(dim=1) - made["old_logps"]).exp()
    clipped = ratio.clamp(1 - SETTINGS.epsilon, 1 + SETTINGS.epsilon)
    expected = -torch.min(ratio * made["advantages"], clipped * made["advantages"]).mean()
    assert trainer._compute_loss(trainer.model, made).item() == pytest.approx(expected.item(), rel=1e-4)


def test_it_trains_every_weight_logs_the_divergence_and_keeps_its_groups(base, tmp_path):
    facts = train_it(base, tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert unmoved(base, tmp_path) == []
    assert log["kl"].dropna().iloc[0] == pytest.approx(0, abs=1e-6)  # nothing has moved before the first update
    assert log["kl"].dropna().iloc[-1] > 0
    assert facts["samples_in_all"] == 48
    groups = pd.read_json(tmp_path / "groups.jsonl", lines=True)
    assert groups["advantage"].abs().max() > 0
    assert groups["advantage"].groupby(groups.index // 4).sum().abs().max() < 1e-3  # around a mean they cancel


def test_interrupted_it_goes_on_to_the_same_weights(base, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    facts = train_it(base, tmp_path / "whole")
    with cut_off_after(4):
        train_it(base, tmp_path / "cut")
    assert train_it(base, tmp_path / "cut") == facts
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_messages_name_its_own_settings(base, tmp_path):
    with pytest.raises(ValueError, match="rloo__group_size"):
        train_it(base, tmp_path, replace(SETTINGS, group_size=5))
    with pytest.raises(ValueError, match="rloo__batch_size"):
        train_it(base, tmp_path, replace(SETTINGS, batch_size=64))


def test_its_settings_count_only_where_somebody_changed_them():
    tiny = config.profile("tiny")
    assert settings_digest(tiny.variant(rloo__steps=80)) == settings_digest(tiny)
    assert settings_digest(tiny.variant(rloo__steps=81)) != settings_digest(tiny)
