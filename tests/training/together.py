"""What the tests of several processes run in each of them: `torchrun --nproc_per_node 2 together.py TASK BASE FOLDER`.

Each process leaves `seen-<rank>.json` in the folder: what it was, and what it saw.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

sys.path.insert(0, str(Path(__file__).parents[1]))  # what all tests share

import factories
import test_train_dpo
import test_train_grpo
from methods import PROMPT, run

from gecalign import prompts
from gecalign.config import SFT, Decoding, LoRA
from gecalign.models import loading
from gecalign.models.decode import decode
from gecalign.runtime import processes, store
from gecalign.study import Study
from gecalign.training import grpo as by_grpo
from gecalign.training import health, loop
from gecalign.training import sft as by_sft
from gecalign.training.rows import demonstrations

# 56 rows and 20 pairs: epochs of whole batches of 8 and 4. Without knowing of each other, two processes would group the
# 56 rows by length differently.
SETTINGS = SFT(steps=8, batch_size=8, learning_rate=1e-2, warmup_steps=2, evaluations=2)
ROWS = factories.examples(56)


def sft(base: Path, folder: Path, **means: object) -> dict:
    """Train, and choose the checkpoint after 4 updates or 8: the small base never gets a sentence right."""
    texts = demonstrations(ROWS, PROMPT)
    return by_sft.train(loading.load(base), texts, SETTINGS, run(folder, **means), evaluate_early=False)


def dpo(base: Path, folder: Path) -> dict:
    return test_train_dpo.train_it(base, folder)


def grpo(base: Path, folder: Path) -> dict:
    """Train by GRPO; the facts tell a digest of the weights that this process ends with."""
    (model, tokenizer), (reference, _) = loading.load(base), loading.load(base)
    settings = replace(test_train_grpo.SETTINGS, steps=4, evaluations=2)
    facts = by_grpo.train((model, tokenizer), reference, test_train_grpo.ROWS, settings, run(folder))
    return facts | {"weights": digest(model)}


def digest(model) -> str:
    whole = {n: w.full_tensor() if hasattr(w, "full_tensor") else w for n, w in model.state_dict().items()}
    return store.digest_of({name: weight.tolist() for name, weight in whole.items()})


def written(base: Path) -> list[list[str]]:
    """Return what the model writes for 23 prompts, greedily and drawn, in batches of 4 prompts and fewer."""
    asked = [prompts.render(PROMPT, example.source) for example in factories.examples(23, seed=7)]
    greedy = Decoding(max_new_tokens=8, batch_tokens=200)
    both = (decode(loading.load(base), asked, how) for how in (greedy, replace(greedy, temperature=1.0, samples=2)))
    return [[one.text for group in texts for one in group] for texts in zip(*both, strict=True)]


def trainings(base: Path, folder: Path) -> dict:
    """Run the three methods, and decode."""
    facts = {}
    for name, method in (("sft", sft), ("dpo", dpo), ("grpo", grpo)):
        made = folder / name
        if processes.is_main():
            made.mkdir(parents=True)
        processes.wait()
        facts[name] = method(base, made)
    return {"facts": facts, "written": written(base)}


def study(base: Path, folder: Path) -> dict:
    """Run every stage of a study."""
    corpus = base.parent / "corpus.jsonl"
    one = Study(factories.preference_profile(base, corpus), 0, folder / "runs")
    check = one.reward_check()
    scores = {
        name: one.evaluation(name, "test").scores.row()["BLEU"]
        for name in ("copy", "base", "sft", "dpo", "grpo", "raft")
    }
    samples = one.samples()
    return {
        "scores": scores,
        "agree": check.agree,
        "shape": list(check.trainer.shape),
        "samples": samples.content,
        "processes": samples.record["machine"]["processes"],
    }


def killed(base: Path, folder: Path) -> dict:
    """Run SFT, and have the second process killed after the fourth update, or what KILL says."""
    at, ordinary = int(os.environ.get("KILL", "0")), loop.EvaluateAt.on_step_end

    def killing(self, args, state, control, **kwargs):
        if state.global_step == at and processes.index() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ordinary(self, args, state, control, **kwargs)

    loop.EvaluateAt.on_step_end = killing
    stage = store.obtain(folder / "runs", "sft", {"seed": 0}, lambda made: sft(base, made), shared=True)
    return {"resumed": stage.record["resumed"], "folder": str(stage.folder)}


def lora(base: Path, folder: Path) -> dict:
    return sft(base, folder, lora=LoRA(rank=4))


def sharded(base: Path, folder: Path) -> dict:
    """Run every method and the reward check with weights sharded by FSDP2, which else only accelerators are given."""
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedType

    ordinary = AcceleratorState.__init__

    def sharding(self, *args, fsdp_plugin=None, **kwargs):
        ordinary(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        plugin = fsdp_plugin or self.__dict__.get("fsdp_plugin")
        if plugin is not None:
            assert plugin.fsdp_version == 2
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin

    AcceleratorState.__init__ = sharding
    shards: list[bool] = []
    prepare = loop.EvaluateAt.on_step_end

    def looking(self, args, state, control, model=None, **kwargs):
        shards.append(all(hasattr(weight, "full_tensor") for weight in model.parameters()))
        prepare(self, args, state, control, **kwargs)

    loop.EvaluateAt.on_step_end = looking
    made = trainings(base, folder) | {"sharded": shards}
    one = Study(factories.preference_profile(base, base.parent / "corpus.jsonl"), 0, folder / "runs")
    return made | {"agree": one.reward_check().agree}


def broken(base: Path, folder: Path) -> dict:
    """Run SFT with weights that one process alone finds broken; tell what each says, and what is left."""
    ordinary = health.not_finite
    health.not_finite = lambda model: "a weight is nan" if processes.index() == 1 else ordinary(model)
    try:
        store.obtain(folder / "runs", "sft", {"seed": 0}, lambda made: sft(base, made), shared=True)
    except store.Spoiled as error:
        words = str(error)
    processes.wait()
    return {"words": words, "left": [path.name for path in (folder / "runs").glob("sft-*")]}


TASKS = {task.__name__: task for task in (trainings, study, killed, lora, sharded, broken)}


def main(task: str, base: str, folder: str) -> None:
    seen = TASKS[task](Path(base), Path(folder))
    seen |= {"world_size": processes.count(), "connected": processes.state().num_processes}
    (Path(folder) / f"seen-{processes.index()}.json").write_text(json.dumps(seen), encoding="utf-8")
    processes.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
