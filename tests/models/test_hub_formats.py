"""Models and data in the hub's own formats, from a hub that the tests serve, through every stage of the study."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import factories
import hub
import pandas as pd
import pytest
import tokenizers
import torch
from methods import DECODING, DEV, PROMPT, run
from safetensors.torch import load_file
from typer.testing import CliRunner

from gecalign import cli, prompts
from gecalign.config import DPO, GRPO, SFT, Data, Decoding, Model, Pairs, profile
from gecalign.corpus import data
from gecalign.corpus.examples import Example
from gecalign.models import generation, loading, saving
from gecalign.models.decode import completion, decode
from gecalign.preferences.pairs import PreferencePair, read_sampled
from gecalign.study import Study
from gecalign.training import dpo as by_dpo
from gecalign.training import grpo as by_grpo
from gecalign.training import sampling
from gecalign.training import sft as by_sft
from gecalign.training.rows import references
from gecalign.training.setup import Asking

PUBLISHED = profile("smollm-135m")
MODEL, CORPUS = PUBLISHED.model, PUBLISHED.data
UNREACHABLE = "http://127.0.0.1:9"  # the port "discard", at which nobody listens
TRAINABLE = [kind for kind in hub.TOKENIZERS if kind not in ("no eos", "eos after every text")]
SMALL = {
    "data__dev_rows": 8, "data__test_rows": 12, "data__preference_rows": 16, "decoding__max_new_tokens": 24,
    "sft__steps": 40, "sft__batch_size": 8, "sft__evaluations": 2, "sft__learning_rate": 1e-2, "sft__warmup_steps": 5,
    "pairs__temperature": 1.0, "pairs__count": 8, "pairs__held_out": 4,
    "dpo__batch_size": 4, "dpo__epochs": 1, "dpo__evaluations": 1, "dpo__warmup_steps": 0,
    "grpo__steps": 2, "grpo__batch_size": 8, "grpo__group_size": 4, "grpo__evaluations": 1, "grpo__warmup_steps": 0,
    "grpo__temperature": 1.0, "reward_check__prompts": 4, "reward_check__samples": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Return what the hub has: the profile's model and data set, each at its pinned revision."""
    root = tmp_path_factory.mktemp("repositories")
    hub.save_smollm(root / "model" / MODEL.revision)
    hub.save_coedit(root / "corpus" / CORPUS.revision, hub.coedit(161))
    return {("models", MODEL.name): root / "model", ("datasets", CORPUS.source): root / "corpus"}


@pytest.fixture
def served(repositories, tmp_path):
    with hub.serving(repositories, tmp_path / "cache", gated=("meta-llama/Llama-3.2-1B",)) as requests:
        yield requests


# ---- the data set


def small(**changes) -> Data:
    return replace(CORPUS, **({"dev_rows": 8, "test_rows": 12, "preference_rows": 16} | changes))


def kept(corpus: data.Corpus) -> list[tuple[str, str]]:
    return [(e.source, e.reference) for name in data.SPLITS for e in getattr(corpus, name)]


def test_no_row_of_the_published_layout_is_lost_or_doubled(served):
    rows, corpus = hub.coedit(161), data.build(small())
    assert len(kept(corpus)) + sum(corpus.dropped.values()) == len(rows["train"]) + len(rows["validation"])
    assert corpus.dropped == {
        "task is not gec": 5 * 5 + 5 * 2,
        "longer than 1000 characters": 2,
        "pair occurred before": 3,
        "source or reference stands in another split": 4,
    }
    asked_for = Counter(
        (row["src"].partition(": ")[2], row["tgt"])
        for row in (*rows["train"], *rows["validation"])
        if row["task"] == "gec" and len(row["src"]) < 1000 and len(row["tgt"]) < 1000
    )
    assert Counter(kept(corpus)) == Counter(asked_for.keys())
    assert ("She say one thing: go home.", "She says one thing: go home.") in kept(corpus)
    heads = {row["src"].partition(": ")[0] for row in rows["train"] if row["task"] == "gec"}
    assert heads == set(data.INSTRUCTIONS)


@pytest.mark.parametrize("write", [factories.write_jsonl, factories.write_parquet])
def test_the_hub_and_a_folder_give_the_same_corpus(served, tmp_path, write):
    folder = hub.save_coedit(tmp_path / "folder", hub.coedit(161), write)
    assert data.build(small()) == data.build(small(source=str(folder), revision=None))


def test_rows_without_an_instruction_lose_nothing_to_their_own_colons():
    examples = list(data.clean([{"src": "Note: he go.", "tgt": "Note: he goes."}], Data(), Counter()))
    assert examples[0].source == "Note: he go."


def test_offline_the_cache_gives_the_revision_that_was_asked_for_and_no_other(repositories, tmp_path):
    cache, other = tmp_path / "cache", replace(small(), revision="0" * 40)
    with hub.serving(repositories, cache):
        online = data.build(small())
    with hub.reaching(UNREACHABLE, cache, offline=True):
        assert data.build(small()) == online
        with pytest.raises(ValueError, match=r"could not be had from the hub.*Three ways out"):
            data.build(other)


@pytest.mark.parametrize(("letter", "reason"), [("x", None), ("字", "longer than 1000 bytes")])
def test_no_source_can_have_more_tokens_than_a_context(letter, reason):
    # each of its bytes may be a token of its own
    dropped: Counter = Counter()
    examples = list(data.clean([{"src": letter * 1000, "tgt": "x"}], Data(), dropped))
    assert dropped == ({reason: 1} if reason else {})
    room = 2048 - PUBLISHED.decoding.max_new_tokens
    assert all(len(prompts.render(PROMPT, e.source).encode()) <= room for e in examples)


# ---- the model


def test_a_model_comes_from_the_hub_once_and_offline_from_the_cache(repositories, tmp_path):
    with hub.serving(repositories, tmp_path / "cache") as requests:
        online, _ = loading.load(MODEL)
        assert any(path.endswith("model.safetensors") for path in requests)
        assert not any(".bin" in path for path in requests)
    with hub.reaching(UNREACHABLE, tmp_path / "cache", offline=True):
        offline, _ = loading.load(MODEL)
    assert all(torch.equal(a, b) for a, b in zip(online.parameters(), offline.parameters(), strict=True))


@pytest.fixture(scope="module")
def folder(repositories) -> Path:
    return repositories["models", MODEL.name] / MODEL.revision


def test_the_layout_is_smollms_and_16_bit_weights_load_as_the_same_numbers_in_32(folder):
    model, _ = loading.load(folder)
    stored = load_file(folder / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
    for name, weight in stored.items():
        loaded = model.state_dict()[name]
        assert loaded.dtype == torch.float32, name
        assert torch.equal(loaded, weight.float()), name
    shape = model.config
    assert (shape.num_hidden_layers, shape.num_attention_heads, shape.num_key_value_heads) == (30, 9, 3)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_what_generation_config_asks_for_changes_nothing(folder, tmp_path):
    asked = [prompts.render(PROMPT, example.source) for example in DEV]
    model, tokenizer = loading.load(folder)
    written = decode((model, tokenizer), asked, DECODING)
    model.generation_config = model.generation_config.from_pretrained(folder)
    assert model.generation_config.repetition_penalty != 1  # Transformers' own `generate` would obey it
    assert decode((model, tokenizer), asked, DECODING) == written
    assert decode(loading.load(folder), asked, DECODING) == written


# ---- tokenizers


def saved_with(kind: str, folder: Path) -> Path:
    """Save a model of two layers with a tokenizer of that kind."""
    factories.save_model(folder, vocabulary=hub.save_tokenizer(folder, kind))
    return folder


def as_the_file_says(folder: Path, text: str, special: bool = True) -> list[int]:
    """Return the tokens that the `tokenizers` library makes from tokenizer.json alone."""
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=special).ids


@pytest.mark.parametrize("kind", TRAINABLE)
def test_tokens_are_those_of_tokenizer_json_and_survive_saving(tmp_path, kind):
    folder = saved_with(kind, tmp_path / "saved")
    model, tokenizer = loading.load(folder)
    ids = tokenizer(hub.NUMBERS)["input_ids"]
    assert ids == as_the_file_says(folder, hub.NUMBERS)
    assert tokenizer.decode(ids, skip_special_tokens=True) == hub.NUMBERS  # blanks before punctuation included
    assert not tokenizer.clean_up_tokenization_spaces
    saving.save(model, tokenizer, tmp_path / "again")
    again = loading.load(tmp_path / "again")[1]
    assert again(hub.NUMBERS)["input_ids"] == ids
    assert (again.eos_token, again.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)


def test_a_chat_template_changes_no_token(tmp_path):
    ids = [
        loading.load(saved_with(kind, tmp_path / kind))[1](prompts.render(PROMPT, hub.NUMBERS))["input_ids"]
        for kind in ("chat template", "smollm")
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("kind", TRAINABLE)
def test_training_sampling_and_decoding_see_the_same_tokens(tmp_path, kind, monkeypatch):
    folder = saved_with(kind, tmp_path / "base")
    (model, tokenizer), (reference, _) = loading.load(folder), loading.load(folder)
    examples = [*DEV, Example("n", hub.NUMBERS, "In 2019 she went .", "In 2019 she went .")]
    asked = [prompts.render(PROMPT, e.source) for e in examples]
    prompt_ids = [as_the_file_says(folder, text) for text in asked]
    answers = [as_the_file_says(folder, prompts.completion(e.reference), special=False) for e in examples]
    eos = tokenizer.eos_token_id
    if "before" in hub.TOKENIZERS[kind]:
        assert all(ids.count(tokenizer.bos_token_id) == 1 for ids in prompt_ids)
        assert all(tokenizer.bos_token_id not in ids for ids in answers)

    rows = references(examples, PROMPT)
    sft = by_sft.trainer((model, tokenizer), rows, SFT(steps=1, batch_size=4), run(tmp_path / "sft"))
    for row, before, after in zip(sft.train_dataset, prompt_ids, answers, strict=True):
        assert row["input_ids"] == [*before, *after, eos]
        assert row["labels"] == [-100] * len(before) + [*after, eos]
    batch = sft.data_collator([sft.train_dataset[i] for i in range(len(examples))])
    lengths = [len(before) + len(after) + 1 for before, after in zip(prompt_ids, answers, strict=True)]
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    assert (batch["labels"] != -100).sum(dim=1).tolist() == [len(after) + 1 for after in answers]

    pairs = [
        PreferencePair("0", ask, f" {e.reference}", " no", e.source, e.reference, 1.0, 0.5, 1.0, 1.0, "bleu", "x")
        for ask, e in zip(asked, examples, strict=True)
    ]
    dpo = by_dpo.trainer((model, tokenizer), reference, pairs, [], DPO(batch_size=4), run(tmp_path / "dpo"))
    for row, before, after in zip(dpo.train_dataset, prompt_ids, answers, strict=True):
        assert (row["prompt_ids"], row["chosen_ids"]) == (before, [*after, eos])
        assert row["rejected_ids"][-1] == eos

    (model, tokenizer), (reference, _) = loading.load(folder), loading.load(folder)
    settings = GRPO(steps=1, batch_size=8, group_size=4, evaluations=1)
    grpo = by_grpo.trainer((model, tokenizer), reference, examples, settings, run(tmp_path / "grpo"))
    assert grpo._tokenize_prompts(asked)[0] == prompt_ids
    assert grpo.eos_token_ids == grpo.generation_config.eos_token_id == [eos]

    seen, generate = [], generation.generate

    def watching(model, prompt_ids, *others):
        seen.extend(prompt_ids)
        return generate(model, prompt_ids, *others)

    monkeypatch.setattr(generation, "generate", watching)
    decode((model, tokenizer), asked, DECODING)
    assert sorted(seen) == sorted(prompt_ids)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_a_completion_ends_at_its_first_eos_whatever_pads_it(tmp_path, kind):
    _, tokenizer = loading.load(saved_with(kind, tmp_path))
    ids = tokenizer(" She goes.", add_special_tokens=False)["input_ids"]
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    whole, cut = completion(tokenizer, [*ids, eos, pad, pad]), completion(tokenizer, ids)
    assert (whole.text, whole.tokens, whole.truncated) == (" She goes.", len(ids) + 1, False)
    assert (cut.text, cut.tokens, cut.truncated) == (" She goes.", len(ids), True)


def added_beyond_the_model(folder: Path) -> None:
    size = hub.save_tokenizer(folder, "its own pad")
    factories.save_model(folder, vocabulary=size - 1)


REFUSED = [
    (lambda f: saved_with("no eos", f), "has no EOS token, so no model could learn where to stop"),
    (lambda f: saved_with("eos after every text", f), r"puts '<\|endoftext\|>' after every text.*post_processor"),
    (added_beyond_the_model, r"has a token of number \d+, and the model knows only \d+: they do not belong together"),
]


@pytest.mark.parametrize(("save", "words"), REFUSED)
def test_a_tokenizer_that_cannot_work_is_refused(tmp_path, save, words):
    save(tmp_path)
    with pytest.raises(ValueError, match=words):
        loading.load(tmp_path)


# ---- a hub that says no

ASKED = [
    ("model", lambda name, revision: loading.load(Model(name, revision))),
    ("data set", lambda name, revision: data.build(replace(CORPUS, source=name, revision=revision))),
]
SETTING = {"model": ("model__name", "model__revision"), "data set": ("data__source", "data__revision")}


def refusal(ask, name: str, revision: str = "0" * 40) -> str:
    start = time.perf_counter()
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the callers check the words
        ask(name, revision)
    assert time.perf_counter() - start < 15, "the hub was asked again and again"
    return str(error.value)


def names_the_ways_out(message: str, kind: str) -> bool:
    return all(word in message for word in ("hf auth login", SETTING[kind][0], "folder", "profile tiny"))


@pytest.mark.parametrize(("kind", "ask"), ASKED)
@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_that_cannot_be_reached_is_answered_at_once_with_three_ways_out(tmp_path, kind, ask, offline):
    with hub.reaching(UNREACHABLE, tmp_path, offline):
        message = refusal(ask, "some/thing")
    assert f"the {kind} 'some/thing' is no folder or file here" in message
    assert ("offline mode" in message) == offline
    assert names_the_ways_out(message, kind)


@pytest.mark.parametrize(("kind", "ask"), ASKED)
def test_a_gated_repository_says_where_to_ask_for_access(repositories, tmp_path, kind, ask):
    name = MODEL.name if kind == "model" else CORPUS.source
    with hub.serving(repositories, tmp_path, gated=(name,)):
        message = refusal(ask, name, MODEL.revision)
    assert "is gated" in message
    page = f"{'datasets/' * (kind == 'data set')}{name}"
    assert f"{page}, then run `hf auth login`" in message
    assert names_the_ways_out(message, kind)


@pytest.mark.parametrize(("kind", "ask"), ASKED)
def test_an_unknown_revision_names_the_setting(served, kind, ask):
    message = refusal(ask, MODEL.name if kind == "model" else CORPUS.source)
    assert f"has no revision '{'0' * 40}'. Set {SETTING[kind][1]} to a commit of" in message


@pytest.mark.parametrize(("kind", "ask"), ASKED)
def test_an_unknown_name_is_called_misspelt_or_private(served, kind, ask):
    message = refusal(ask, "nobody/nothing")
    assert f"the hub has no {kind} 'nobody/nothing' that it would show you" in message
    assert names_the_ways_out(message, kind)


# ---- every stage


@pytest.mark.slow
def test_every_stage_of_the_profile_runs_on_what_the_hub_gives(repositories, tmp_path, monkeypatch):
    monkeypatch.setenv("GECALIGN_RUNS", str(tmp_path / "runs"))
    with hub.serving(repositories, tmp_path / "cache"):
        study = Study(PUBLISHED.variant(**SMALL))
        assert study.corpus.facts["dropped"]["pair occurred before"] == 3
        sft = study.sft()
    with hub.reaching(UNREACHABLE, tmp_path / "cache", offline=True):  # nothing more is needed from it
        log = study.log("sft")
        assert log["eval_loss"].iloc[-1] < 0.5 * log["eval_loss"].iloc[0]
        assert (sft.facts["rows"], sft.facts["too_long"]) == (study.corpus.facts["rows"]["train"], 0)
        sampled = read_sampled(study.samples().folder / "samples.jsonl")
        assert len(sampled) == 16
        drawn = [sample for of_prompt in sampled for sample in of_prompt.samples]
        assert sum(sample.truncated for sample in drawn) < len(drawn) / 2  # it has learnt to end
        assert study.pairs().facts["pairs"] == 8
        assert study.dpo().facts["updates"] == 2
        check = study.reward_check()
        assert check.direct.shape == check.trainer.shape == (4, 4)
        grpo = study.grpo()
        assert (grpo.facts["updates"], grpo.facts["samples_in_all"]) == (2, 16)
        lengths = pd.read_csv(grpo.folder / "log.csv")["completions/mean_length"]
        assert lengths.between(1, 24).all()
        for system in ("copy", "base", "sft", "dpo", "grpo"):
            assert study.evaluation(system, "test").scores.n == 12
            assert study.evaluation(system, "validation").scores.n == 24
        saved = load_file(grpo.folder / "model" / "model.safetensors")
        assert {weight.dtype for weight in saved.values()} == {torch.float32}
        settings = [f"--set={k.replace('__', '.')}={json.dumps(value)}" for k, value in SMALL.items()]
        command = ["correct", "She go home.", "--profile", "smollm-135m", "--system", "grpo", "--plain", *settings]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.output
        asked = [prompts.render(study.profile.prompt, "She go home.")]
        written = decode(study.model("grpo"), asked, study.profile.decoding)[0][0]
        assert result.stdout.strip() == prompts.hypothesis(written.text)


@pytest.fixture
def large() -> Iterator[Path]:
    """Return a folder that is gone after the test: models of half a gigabyte are not for pytest to keep."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.slow
def test_the_model_at_its_full_size_goes_through_all_three_methods(large):
    base = hub.save_smollm(large / "base", vocabulary=49_152, hidden=576, intermediate=1536)
    short, examples = Decoding(max_new_tokens=4), factories.examples(3, seed=5)
    model, tokenizer = loading.load(base)
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    rows = references(examples, PROMPT)
    once = SFT(steps=1, batch_size=2, evaluations=1, warmup_steps=0, learning_rate=1e-4)

    def how(name: str):
        return run(large / name, dev=examples[:1], decoding=short)

    by_sft.train((model, tokenizer), rows, once, how("sft"))
    sft = large / "sft" / "model"
    drawing = Pairs(samples=2, temperature=1.0)
    drawn = sampling.draw(loading.load(sft), examples, drawing, Asking(PROMPT, short))
    assert [len(of_prompt.samples) for of_prompt in drawn] == [2, 2, 2]
    pair = PreferencePair(
        "0", rows[0]["prompt"], rows[0]["completion"], " no", examples[0].source, examples[0].reference,
        1.0, 0.5, 1.0, 1.0, "bleu", "best-worst",
    )  # fmt: skip
    settings = DPO(epochs=1, batch_size=1, evaluations=1, warmup_steps=0, learning_rate=1e-5)
    by_dpo.train(loading.load(sft), loading.load(sft)[0], [pair], [], settings, how("dpo"))
    groups = GRPO(steps=1, batch_size=2, group_size=2, evaluations=1, warmup_steps=0, learning_rate=1e-5)
    facts = by_grpo.train(loading.load(sft), loading.load(sft)[0], examples, groups, how("grpo"))
    assert facts["parameters"] == 134_515_008
    before, after = load_file(base / "model.safetensors"), load_file(sft / "model.safetensors")
    assert before.keys() == after.keys()
    assert not torch.equal(before["model.embed_tokens.weight"].float(), after["model.embed_tokens.weight"])


@pytest.mark.parametrize(("kind", "ask"), ASKED)
def test_a_branch_is_no_pinned_revision(kind, ask):
    message = refusal(ask, "someone/something", "main")
    assert f"{SETTING[kind][1]} is 'main', which is no commit: expected 40 hexadecimal digits" in message
