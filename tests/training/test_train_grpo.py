"""GRPO: groups are whole, advantages and losses the formulas', KL is measured from SFT, batches are what is said."""

import json
import re
from dataclasses import replace
from pathlib import Path

import factories
import numpy as np
import pandas as pd
import pytest
import torch
from methods import DECODING, PROMPT, cut_off_after, expect_the_whole, kill_after, run, same, unmoved
from trl import GRPOTrainer

from gecalign import prompts
from gecalign.config import GRPO, Decoding, Engine
from gecalign.models import generation as writing
from gecalign.models import loading, saving
from gecalign.preferences import rewards
from gecalign.training import groups, grpo
from gecalign.training.watched import KL_EVERY

# the small base writes gibberish, of which "length" likes some more than other
SETTINGS = GRPO(
    steps=6,
    group_size=4,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=0,
    evaluations=3,
    reward="length",
    temperature=1.0,
)
ROWS = factories.examples(12, seed=5)


def train_it(base: Path, folder: Path, settings: GRPO = SETTINGS) -> dict:
    return grpo.train(loading.load(base), loading.load(base)[0], ROWS, settings, run(folder))


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, train_it(base, folder)


def trainer_of(base: Path, folder: Path, decoding: Decoding = DECODING, **changes: object):
    settings, how = replace(SETTINGS, **changes), run(folder, decoding=decoding)
    trainer = grpo.trainer(loading.load(base), loading.load(base)[0], ROWS, settings, how)
    trainer.dev_scores = lambda _: {"bleu": 0.0}
    return trainer


def watched(trainer) -> list[dict]:
    """Return a list to which every generation will be added: its rows, and what was made of them."""
    seen: list[dict] = []
    ordinary = trainer._generate_and_score_completions

    def watching(inputs):
        output = ordinary(inputs)
        size = len(inputs)
        logs = {name: list(trainer._logs[name])[-size:] for name in ("prompt", "completion", "advantages")}
        scored = {name: list(values)[-size:] for name, values in trainer._logs["rewards"].items()}
        seen.append({"inputs": inputs, "output": output, **logs, "rewards": scored})
        return output

    trainer._generate_and_score_completions = watching
    return seen


# ---- rewards and advantages


def test_every_parameter_moves_and_the_log_has_what_is_plotted(base, whole):
    folder, facts = whole
    assert unmoved(base, folder) == []
    log = pd.read_csv(folder / "log.csv").set_index("step")
    columns = ["loss", "reward", "reward_std", "rewards/length/mean", "frac_reward_zero_std", "kl", "entropy",
               "completions/mean_length", "completions/clipped_ratio", "clip_ratio/region_mean"]  # fmt: skip
    for column in columns:
        assert np.isfinite(log[column]).all(), column
        assert len(log[column]) == 6
    assert log["eval_bleu"].dropna().index.tolist() == [2, 4, 6]
    assert facts["chosen_step"] in (2, 4, 6)
    assert facts["tokens"] > 0


def test_the_rewards_are_the_pure_functions_on_what_was_written(base, tmp_path):
    trainer = trainer_of(base, tmp_path, steps=2, evaluations=1)
    seen = watched(trainer)
    trainer.train()
    assert len(seen) == 2
    for generation in seen:
        written = [prompts.hypothesis(text) for text in generation["completion"]]
        references, sources = ([row[name] for row in generation["inputs"]] for name in ("reference", "source"))
        expected = rewards.objective("length")(written, references, sources)
        assert generation["rewards"]["length"] == pytest.approx(expected, abs=1e-6)
        assert np.ptp(expected) > 0
        assert generation["prompt"] == [prompts.render(PROMPT, source) for source in sources]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_rewards_minus_their_groups_mean_over_the_deviation_that_is_asked_for(base, tmp_path, scale):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1, scale_rewards=scale)
    seen = watched(trainer)
    trainer.train()
    groups = np.array(seen[0]["rewards"]["length"]).reshape(-1, 4)
    centred = groups - groups.mean(axis=1, keepdims=True)
    deviation = {"group": groups.std(axis=1, ddof=1, keepdims=True), "batch": groups.std(ddof=1), "none": 1 - 1e-4}[
        scale
    ]
    expected = (centred / (deviation + 1e-4)).ravel()
    assert np.abs(expected).max() > 0.1
    assert seen[0]["advantages"] == pytest.approx(expected, abs=1e-4)


def test_each_group_is_one_prompt_and_is_whole(base, tmp_path):
    trainer = trainer_of(base, tmp_path, steps=3, evaluations=1)
    seen = watched(trainer)
    trainer.train()
    for generation in seen:
        groups = np.array(generation["prompt"]).reshape(-1, 4)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == len(groups)


def test_rewards_in_a_sum_reach_the_trainer_with_their_weights(base, tmp_path):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1, reward="0.7*length + 0.3*repetition")
    seen = watched(trainer)
    trainer.train()
    scored = seen[0]["rewards"]
    assert list(scored) == ["length", "repetition"]
    log = trainer.state.log_history[0]
    expected = 0.7 * np.array(scored["length"]) + 0.3 * np.array(scored["repetition"])
    assert log["reward"] == pytest.approx(expected.mean(), abs=1e-5)


def test_several_objectives_can_be_normalised_each_by_itself(base, tmp_path):
    settings = {"reward": "0.5*length + 0.5*repetition", "multi_objective": "normalize_then_sum"}
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1, **settings)
    seen = watched(trainer)
    trainer.train()
    parts = [np.array(values).reshape(-1, 4) for values in seen[0]["rewards"].values()]
    normal = [(p - p.mean(axis=1, keepdims=True)) / (p.std(axis=1, ddof=1, keepdims=True) + 1e-4) for p in parts]
    total = 0.5 * (normal[0] + normal[1]).ravel()
    expected = (total - total.mean()) / (total.std(ddof=1) + 1e-4)
    assert seen[0]["advantages"] == pytest.approx(expected, abs=1e-3)


# ---- losses


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
def test_the_losses_differ_in_how_token_losses_are_averaged(base, tmp_path, loss):
    # before the first update the ratio of new to old probability is 1, so a token's loss is minus its advantage
    longer = Decoding(max_new_tokens=60)  # so that some samples end before the limit
    trainer = trainer_of(base, tmp_path, longer, steps=1, evaluations=1, loss=loss, batch_size=48, temperature=2.0)
    seen = watched(trainer)
    losses = []
    ordinary = trainer._compute_loss
    trainer._compute_loss = lambda *a: losses.append(ordinary(*a)) or losses[-1]
    trainer.train()
    output = seen[0]["output"]
    lengths = output["completion_mask"].sum(dim=1).double().numpy()
    advantages = output["advantages"].double().numpy()
    n = len(advantages)
    expected = {
        "grpo": -advantages.mean(),
        "dr_grpo": -(advantages * lengths).sum() / (n * longer.max_new_tokens),
        "dapo": -(advantages * lengths).sum() / lengths.sum(),
    }[loss]
    assert losses[0].item() == pytest.approx(expected, abs=1e-6)
    if loss != "grpo":
        assert len(set(lengths)) > 1  # else the three would be the same
        assert abs(expected) > 1e-4


# ---- KL


ROWS_OF_KL = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


def mean_kl(policy, reference, inputs) -> float:
    """Return the mean over tokens of r - 1 - log r, r the reference's probability over the policy's."""
    total = count = 0.0
    for i in range(len(inputs["completion_ids"])):
        asked = inputs["prompt_ids"][i][inputs["prompt_mask"][i] == 1]
        written = inputs["completion_ids"][i][inputs["completion_mask"][i] == 1]
        ids = torch.cat([asked, written])[None]
        with torch.no_grad():
            scored = [
                torch.log_softmax(m(ids).logits[0, len(asked) - 1 : -1].double(), -1) for m in (policy, reference)
            ]
        own, other = (table.gather(-1, written[:, None])[:, 0] for table in scored)
        total += float((torch.exp(other - own) - 1 - (other - own)).sum())
        count += len(written)
    return total / count


@pytest.mark.parametrize("beta", [0.0, 0.04])
def test_the_logged_kl_is_measured_from_the_reference_even_where_beta_is_0(base, tmp_path, beta):
    trainer = trainer_of(base, tmp_path, steps=3, evaluations=1, beta=beta)
    expected = []
    ordinary = trainer._compute_loss
    reference = loading.load(base)[0]

    def watching(model, inputs):
        some = inputs if beta else {name: inputs[name][::KL_EVERY] for name in ROWS_OF_KL}
        expected.append(mean_kl(model, reference, some))
        return ordinary(model, inputs)

    trainer._compute_loss = watching
    trainer.train()
    logged = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert logged[0] == pytest.approx(0, abs=1e-6)
    assert logged[-1] > 1e-4
    assert logged == pytest.approx(expected, rel=1e-2, abs=1e-6)


def test_with_beta_the_trainers_own_reference_is_the_model_that_training_starts_from(base, tmp_path):
    trainer = trainer_of(base, tmp_path, beta=0.1)
    start = loading.load(base)[0].state_dict()
    assert all(torch.equal(weight, start[name]) for name, weight in trainer.ref_model.state_dict().items())


# ---- the arithmetic of batches


@pytest.mark.parametrize(
    ("changes", "prompts_a_generation", "generations"),
    [({}, 2, 6), ({"updates_per_generation": 2}, 4, 3), ({"micro_batch_size": 2}, 2, 6), ({"group_size": 8}, 1, 6)],
)
def test_the_trainer_draws_what_the_plan_says(base, tmp_path, changes, prompts_a_generation, generations):
    trainer = trainer_of(base, tmp_path, **changes)
    seen = watched(trainer)
    trainer.train()
    plan = groups.plan(replace(SETTINGS, **changes))
    assert plan["prompts_a_generation"] == prompts_a_generation
    assert [len(set(generation["prompt"])) for generation in seen] == [prompts_a_generation] * generations
    assert sum(len(generation["prompt"]) for generation in seen) == plan["samples_in_all"]
    assert sum(len(set(generation["prompt"])) for generation in seen) == plan["prompts_in_all"]
    assert trainer.state.global_step == plan["updates"] == 6


def test_the_plan_in_words_says_when_samples_are_stale():
    fresh, stale = (groups.in_words(groups.plan(replace(SETTINGS, updates_per_generation=n))) for n in (1, 2))
    assert "6 updates of 8 samples" in fresh
    assert "12 prompts and 48 samples in all" in fresh
    assert "moved on" in stale
    assert "moved on" not in fresh


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"group_size": 3}, r"a generation has 8 samples.*no multiple of grpo__group_size, 3"),
        ({"group_size": 1}, "a group needs two samples"),
        ({"batch_size": 64}, "takes 16 prompts, and there are only 12"),
        ({"reward": "blue"}, "unknown reward 'blue'"),
        ({"micro_batch_size": 3}, "grpo__micro_batch_size is 3, which does not divide"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_sampled(base, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        trainer_of(base, tmp_path, **changes)


def test_the_estimate_and_the_plan_are_printed_before_training(base, tmp_path, capsys):
    train_it(base, tmp_path, replace(SETTINGS, steps=2, evaluations=1))
    said = capsys.readouterr().err
    assert "[grpo] 2 updates of 8 samples" in said
    assert re.search(r"4 prompts and 16 samples in all, about \d+ tokens; about 0\.\d min", said)
    assert "on this machine" in said


# ---- what is left, and interruptions


def test_the_last_generation_is_left_with_its_advantages(whole):
    rows = [json.loads(line) for line in (whole[0] / "groups.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    groups = pd.DataFrame(rows).groupby("prompt")
    assert [len(group) for _, group in groups] == [4, 4]
    for _, group in groups:
        expected = (group["reward length"] - group["reward length"].mean()) / (group["reward length"].std() + 1e-4)
        assert group["advantage"].tolist() == pytest.approx(expected.tolist(), abs=1e-3)


@pytest.mark.parametrize("step", [2, 5])
def test_training_that_is_cut_off_goes_on_to_the_same_weights_and_log(base, whole, tmp_path, step):
    with cut_off_after(step):
        train_it(base, tmp_path)
    expect_the_whole(train_it(base, tmp_path), tmp_path, whole)


def test_where_samples_last_for_several_updates_a_training_is_cut_off_only_between_generations(base, tmp_path):
    stale = replace(SETTINGS, steps=8, updates_per_generation=4, evaluations=4)
    once, twice = tmp_path / "once", tmp_path / "twice"
    facts = train_it(base, once, stale)
    assert pd.read_csv(once / "log.csv").dropna(subset=["eval_bleu"])["step"].tolist() == [4, 8]
    with cut_off_after(6):
        train_it(base, twice, stale)
    assert train_it(base, twice, stale) == facts
    assert same(once, twice)


def test_a_failure_after_the_last_update_keeps_the_last_generation(base, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(saving, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_it(base, tmp_path)
    assert train_it(base, tmp_path) == whole[1]
    assert (tmp_path / "groups.jsonl").read_bytes() == (whole[0] / "groups.jsonl").read_bytes()


@pytest.mark.slow
def test_training_that_is_killed_goes_on_to_the_same_weights(base, whole, tmp_path):
    kill_after(3, "test_train_grpo", base, tmp_path)
    assert list(tmp_path.glob("checkpoints/checkpoint-2"))
    expect_the_whole(train_it(base, tmp_path), tmp_path, whole)


def test_shuffled_rewards_are_those_of_the_group_dealt_out_anew_at_every_update(base, tmp_path, monkeypatch):
    given = torch.arange(16.0).view(16, 1)
    monkeypatch.setattr(GRPOTrainer, "_calculate_rewards", lambda *_: given.clone())
    trainer = trainer_of(base, tmp_path)
    assert torch.equal(trainer._calculate_rewards([]), given)
    trainer.shuffle_rewards = True
    first, again = trainer._calculate_rewards([]), trainer._calculate_rewards([])
    assert torch.equal(first, again)  # drawn from seed and update, so that a resumed training deals the same
    groups = first.view(-1, SETTINGS.group_size)
    assert torch.equal(groups.sort(dim=1).values, given.view(-1, SETTINGS.group_size))
    assert not torch.equal(first, given)
    assert len({tuple((group - group.min()).tolist()) for group in groups}) > 1  # not one deal for all groups
    trainer.state.global_step += 1
    assert not torch.equal(trainer._calculate_rewards([]), first)


def test_training_with_shuffled_rewards_learns_something_else(base, whole, tmp_path):
    (model, tokenizer), (reference, _) = loading.load(base), loading.load(base)
    grpo.train((model, tokenizer), reference, ROWS, SETTINGS, run(tmp_path), shuffle_rewards=True)
    log, usual = (pd.read_csv(folder / "log.csv") for folder in (tmp_path, whole[0]))
    assert log["reward"].iloc[0] == pytest.approx(usual["reward"].iloc[0])  # the first samples are the same
    assert log["reward_std"].iloc[0] == pytest.approx(usual["reward_std"].iloc[0], rel=1e-5)
    assert not same(tmp_path, whole[0])


def test_the_trainer_samples_within_one_autocast_which_converts_weights_once(base, tmp_path, monkeypatch):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1)
    trainer.engine, sampled = Engine(precision="bf16"), []
    ordinary = writing.generate

    def watching(model, *args):
        sampled.append((model is trainer.model, model.training, torch.is_autocast_enabled("cpu")))
        return ordinary(model, *args)

    monkeypatch.setattr(writing, "generate", watching)
    trainer.train()
    assert sampled == [(True, False, True)]


def test_samples_follow_from_seed_and_update_and_from_nothing_else(base, tmp_path):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1)
    asked = trainer.processing_class(["Fix: she go\n->", "Fix: a\n->"])["input_ids"]
    prompt_ids = [asked[0]] * 4 + [asked[1]] * 4

    def written() -> list[list[int]]:
        return trainer._generate_single_turn(prompt_ids, None, {}, 4)[0]

    first = written()
    torch.manual_seed(99)
    assert first == written()
    assert len({tuple(ids) for ids in first}) > 4
    assert trainer._generate_single_turn(prompt_ids[4:], None, {}, 4)[0] != first[4:]  # other numbers in the batch
    trainer.state.global_step = 1
    assert first != written()
    trainer.state.global_step, trainer.args.seed = 0, trainer.args.seed + 1
    assert first != written()


def test_samples_are_drawn_as_the_settings_say(base, tmp_path, monkeypatch):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1, temperature=0.7, top_p=0.9)
    asked, ordinary = [], writing.generate
    monkeypatch.setattr(writing, "generate", lambda *given: asked.append(given[2]) or ordinary(*given))
    trainer.train()
    assert asked == [Decoding(temperature=0.7, top_p=0.9, max_new_tokens=DECODING.max_new_tokens)]


def test_the_divergence_is_that_of_every_fourth_sample_whatever_the_micro_batch(base, tmp_path):
    trainer = trainer_of(base, tmp_path, steps=1, evaluations=1, micro_batch_size=1)
    scored, ordinary = [], trainer._get_per_token_logps_and_entropies

    def watching(model, ids, *others, **named):
        if model is trainer.kl_reference:
            scored.append(len(ids))
        return ordinary(model, ids, *others, **named)

    trainer._get_per_token_logps_and_entropies = watching
    trainer.train()
    assert scored == [1] * (SETTINGS.batch_size // KL_EVERY)
