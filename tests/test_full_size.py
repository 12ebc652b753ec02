"""The benchmark of what the study costs at full size, with a small model: what it counts is right."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from gecalign import config, prompts
from gecalign.models import loading

BENCH = Path(__file__).resolve().parents[1] / "bench"
AROUND = 3  # tokens of the prompt beside the source: "Fix", "grammar:", "Corrected:"


@pytest.fixture(scope="module")
def full_size():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        yield importlib.import_module("full_size")


@pytest.fixture(scope="module")
def stand_in(full_size):
    return full_size.stand_in


@pytest.fixture(scope="module")
def base(stand_in, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-in")
    stand_in.save(stand_in.Model(layers=1, hidden=64, vocabulary=256), config.SMOLLM_135M.prompt, folder)
    return folder


@pytest.fixture(scope="module")
def small(full_size):
    return replace(full_size.QUICK, sft_batch=2, grpo_batch=16, updates=2, together=4, calls=1, alone=2)


def test_the_stand_in_has_the_sizes_of_smollm(stand_in):
    model = stand_in.Model()
    heads = model.hidden // 64
    assert (model.layers, heads, heads // 3, model.hidden * 8 // 3) == (30, 9, 3, 1536)


def test_sentences_are_as_long_as_those_of_coedit(stand_in):
    lengths = np.array(stand_in.lengths(13_000))
    assert lengths.mean() == pytest.approx(60, abs=0.5)
    assert (lengths > 128).mean() == pytest.approx(0.04, abs=0.005)
    assert (lengths == stand_in.LONGEST).mean() < 0.005
    assert np.mean(stand_in.lengths(8)) == pytest.approx(60, abs=3)  # few of them, too


def test_sources_and_references_have_the_lengths_asked_for_and_differ_in_a_word_of_four(stand_in):
    rows = stand_in.corpus(stand_in.lengths(200), vocabulary=49_152)
    lengths = [len(row.source.split()) for row in rows]
    assert sorted(lengths) == sorted(stand_in.lengths(200))
    assert lengths != sorted(lengths)
    assert lengths == [len(row.reference.split()) for row in rows]
    wrong = [a != b for row in rows for a, b in zip(row.source.split(), row.reference.split(), strict=True)]
    assert np.mean(wrong) == pytest.approx(0.25, abs=0.02)


def test_a_word_is_a_token(stand_in, base: Path):
    _, tokenizer = loading.load(config.Model(str(base)))
    [row] = stand_in.corpus([7], vocabulary=256)
    asked = prompts.render(config.SMOLLM_135M.prompt, row.source)
    ids = tokenizer(asked)["input_ids"]
    assert len(ids) == len(set(ids) - {255}) == 7 + AROUND  # 255 is for what it does not know
    assert tokenizer.decode(ids).split() == asked.split()


@pytest.mark.parametrize("how", [{"do_sample": False}, {"do_sample": True, "num_return_sequences": 3}])
def test_completions_end_when_they_are_as_long_as_their_source(stand_in, base: Path, how: dict):
    model, tokenizer = loading.load(config.Model(str(base)))
    prompt = config.SMOLLM_135M.prompt
    rows = stand_in.corpus([9, 3, 14], vocabulary=256)
    asked = tokenizer([prompts.render(prompt, row.source) for row in rows], padding=True, return_tensors="pt")
    with stand_in.endings(prompt):
        ids = model.generate(**asked, max_new_tokens=40, **how)
    written = ids[:, asked["input_ids"].shape[1] :]
    ends = [row.tolist().index(stand_in.END) for row in written]
    copies = how.get("num_return_sequences", 1)
    assert ends == [len(row.source.split()) for row in rows for _ in range(copies)]
    plain = model.generate(**asked, max_new_tokens=40, do_sample=False)
    assert (plain[:, asked["input_ids"].shape[1] :] != stand_in.END).all()  # random weights, nobody ends it any more


@pytest.mark.parametrize("way", ["gecalign", "trl"])
@pytest.mark.parametrize("name", ["sft", "dpo", "grpo-4", "grpo-16", "sampling", "evaluation"])
def test_a_measurement_counts_what_was_done(full_size, stand_in, base: Path, small, name: str, way: str):
    row = full_size.measure(name, way, base, small)
    what, _, group = name.partition("-")
    expected = {"way": way, "what": what, "group_size": int(group) if group else None, "precision": "fp32"}
    trained, sampled = None, None  # tokens a unit
    if what == "dpo":  # two texts a pair: the prompt, a completion, and its EOS
        trained = sum(2 * (AROUND + 2 * n + 1) for n in stand_in.lengths(2))
        expected |= {"batch": 2, "micro_batch": 2}
    elif group:
        lengths = stand_in.lengths(16 // int(group))
        sampled = int(group) * sum(n + 1 for n in lengths)
        trained = sampled + int(group) * sum(AROUND + n for n in lengths)
        expected |= {"batch": 16, "micro_batch": 16 if way == "gecalign" else 8}
    elif what != "sft":
        copies = 4 if what == "sampling" else 1
        if way == "gecalign":
            sampled = copies * np.mean([n + 1 for n in stand_in.lengths(4)])
        else:  # two of three prompts: the first one warms up
            three = [n + 1 for n in stand_in.lengths(3)]
            assert row["sampled_tokens"] in {copies * (sum(three) - first) / 2 for first in three}
        expected |= {"unit": "prompt", "batch": copies, "micro_batch": 4 if way == "gecalign" else 1}
    assert {key: row[key] for key in expected} == expected
    assert row["timed"] == (1 if row["micro_batch"] == 4 else 2)
    if trained:
        assert row["trained_tokens"] == trained
    if sampled:
        assert row["sampled_tokens"] == sampled
    if what == "sft":  # two rows of a prompt and a completion
        assert 2 * (AROUND + 2 + 1) < row["trained_tokens"] < 2 * (AROUND + 2 * stand_in.LONGEST + 1)
    assert (row["trained_per_second"] is None) == (what in ("sampling", "evaluation"))
    assert (row["sampled_per_second"] is None) == (what in ("sft", "dpo"))
    assert (row["generation_share"] is None) == (what != "grpo")
    assert (row["once_seconds"] is None) == ((what, way) != ("dpo", "gecalign"))
    assert row["checkpointing"] == (None if row["unit"] == "prompt" else way == "trl")
    assert 0 < row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
    if group:
        assert 0 < row["generation_share"] < 1
        assert row["sampled_per_second"] * row["generation_share"] * row["seconds"] == pytest.approx(sampled)
    assert 0.1 < row["memory_gb"] < 100
    assert set(row) <= set(full_size.COLUMNS)


def test_sft_is_measured_on_batches_from_all_over_its_order_after_one_with_the_longest_row(
    full_size, base: Path, small, tmp_path: Path
):
    sizes = replace(small, longest=True, updates=4)
    profile = full_size.profile_of(base, sizes).variant(sft__micro_batch_size=1)
    rows = full_size.training_rows("sft", profile, sizes)
    trainer = full_size.our_trainer("sft", profile, rows, tmp_path)
    trainer.order.manual_seed(0)
    full_size._fix_order(trainer, sizes)
    lengths = [len(trainer.train_dataset[i]["input_ids"]) for i in trainer._get_train_sampler()]
    longest = max(len(ids) for ids in trainer.train_dataset["input_ids"])
    assert len(lengths) == 2 * 5  # a warm-up and four updates of two rows
    assert max(lengths[:2]) == longest
    assert lengths[2:] == sorted(lengths[2:], reverse=True)
    middle = np.median([len(ids) for ids in trainer.train_dataset["input_ids"]])
    assert lengths[2] > middle > lengths[-1]


@pytest.mark.parametrize("what", ["dpo", "grpo"])
def test_updates_have_rows_of_the_same_lengths_and_the_first_one_the_longest(full_size, stand_in, base, small, what):
    sizes = replace(small, longest=True, updates=2)
    rows = full_size.training_rows(what, full_size.profile_of(base, sizes, group_size=4), sizes)
    an_update = len(rows) // 3
    lengths = [
        sorted(len(row.source.split()) for row in rows[i : i + an_update]) for i in range(0, len(rows), an_update)
    ]
    assert lengths[1] == lengths[2] == stand_in.lengths(an_update)
    assert max(lengths[0]) == stand_in.LONGEST
    assert len({row.source for row in rows}) == len(rows)


def test_a_training_without_enough_rows_is_an_error(full_size, base: Path, small, tmp_path: Path):
    profile = full_size.profile_of(base, small)
    trainer = full_size.our_trainer("dpo", profile, full_size.training_rows("dpo", profile, small), tmp_path)
    with pytest.raises(RuntimeError, match="ended before 9 updates"):
        full_size.metering.watch(trainer, full_size.metering.Meter(), 1, 8)


def test_peak_memory_is_the_most_that_was_held_and_not_what_is_held(full_size):
    before, where = full_size.metering.peak_memory()
    if where == "gpu":
        pytest.skip("its peak is of what is allocated there")
    more = before - psutil.Process().memory_info().rss + 50_000_000  # bytes above what was ever held at once
    block = bytearray(b"x") * more
    held, _ = full_size.metering.peak_memory()
    assert held > before + 40_000_000
    del block
    assert full_size.metering.peak_memory()[0] > 0.99 * held


def test_rows_are_appended_below_one_header(full_size, tmp_path: Path):
    record = tmp_path / "full-size.csv"
    row = dict.fromkeys(full_size.COLUMNS) | {"what": "sft", "seconds": 0.123456}
    full_size.append(row, record)
    full_size.append(row | {"what": "dpo"}, record)
    table = pd.read_csv(record)
    assert list(table["what"]) == ["sft", "dpo"]
    assert list(table["seconds"]) == [0.1235, 0.1235]
    record.write_text("what,seconds\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other columns"):
        full_size.append(row, record)


def test_measurements_are_chosen_by_name(full_size):
    assert full_size.chosen("") == list(full_size.MEASUREMENTS)
    assert full_size.chosen("grpo,sft") == ["sft", "grpo-4", "grpo-8", "grpo-16"]
    assert full_size.chosen("grpo-8") == ["grpo-8"]
    with pytest.raises(ValueError, match="no measurement 'ppo'"):
        full_size.chosen("ppo")


@pytest.mark.slow
def test_the_command_measures_in_processes_of_their_own_and_records_what_made_each_row(full_size, tmp_path: Path):
    kept = full_size.RECORD.read_bytes() if full_size.RECORD.exists() else None
    record = tmp_path / "record.csv"
    options = ["--quick", "--layers", "1", "--hidden", "64", "--vocabulary", "256", "--only", "evaluation"]
    command = [sys.executable, str(BENCH / "full_size.py"), *options, "--output", str(record)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    table = pd.read_csv(record)
    assert tuple(table.columns) == full_size.COLUMNS
    assert list(table["way"]) == ["gecalign", "trl"]
    assert (table["memory_gb"] > 0.1).all()
    assert set(table["layers"]) == {1}
    assert set(table["torch"]) == {torch.__version__}
    assert table[["date", "device", "commit", "profile"]].notna().all(axis=None)
    assert len([text for text in shown.splitlines() if text.startswith("evaluation")]) == 2
    assert (full_size.RECORD.read_bytes() if full_size.RECORD.exists() else None) == kept
