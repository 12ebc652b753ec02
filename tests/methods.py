"""What the tests of the three methods share: a small base, settings, and ways to look at what a training left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import factories
import pytest
import torch
from safetensors.torch import load_file

from gecalign import prompts
from gecalign.config import Decoding, Engine, LoRA, Prompt
from gecalign.training import loop
from gecalign.training.setup import Asking, Run

PROMPT = Prompt()
DECODING = Decoding(max_new_tokens=8)
DEV = factories.examples(8, seed=9)


def run(folder: Path, seed: int = 0, dev=DEV, decoding=DECODING, engine=None, lora=None, start_score=None) -> Run:
    """How the models of these tests are trained."""
    return Run(folder, Asking(PROMPT, decoding, engine or Engine(), seed), dev, lora or LoRA(), start_score=start_score)


class Interrupted(BaseException):
    """Not an Exception, as a kill is not."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(first: Path, second: Path, tolerance: float = 1e-5) -> bool:
    """Whether two trainings gave the same weights but for rounding."""
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.allclose(ours[n], theirs[n], atol=tolerance) for n in ours)


def unmoved(base: Path, folder: Path) -> list[str]:
    """Return the parameters that training left as they were."""
    before, after = load_file(base / "model.safetensors"), weights(folder)
    assert before.keys() == after.keys()
    return [name for name in before if torch.equal(before[name], after[name])]


def log_probability(model, tokenizer, source: str, completion: str) -> float:
    """Return the log-probability (nats) of completion and EOS after the prompt, token by token."""
    asked = tokenizer(prompts.render(PROMPT, source))["input_ids"]
    ids = [*asked, *tokenizer(completion)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    scored = torch.log_softmax(logits, dim=-1)
    return sum(float(scored[i - 1, ids[i]]) for i in range(len(asked), len(ids)))


@contextmanager
def cut_off_after(step: int) -> Iterator[None]:
    """Within this a training stops as if it were cut off after this update."""
    ordinary = loop.EvaluateAt.on_step_end

    def interrupting(self, args, state, control, **kwargs):
        ordinary(self, args, state, control, **kwargs)
        if state.global_step == step:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.EvaluateAt, "on_step_end", interrupting)
        with pytest.raises(Interrupted):
            yield


def expect_the_whole(facts: dict, folder: Path, whole: tuple[Path, dict]) -> None:
    """A training that was cut off and went on left what one without interruption did, which is `whole`."""
    assert facts == whole[1]
    assert same(folder, whole[0])
    assert (folder / "log.csv").read_bytes() == (whole[0] / "log.csv").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
tests, module, step, base, folder = sys.argv[1:]
sys.path[:0] = [tests, os.path.join(tests, "training")]
from gecalign.training import loop

def killing(self, args, state, control, **kwargs):
    ordinary(self, args, state, control, **kwargs)
    if state.global_step == int(step):
        os.kill(os.getpid(), signal.SIGKILL)

ordinary, loop.EvaluateAt.on_step_end = loop.EvaluateAt.on_step_end, killing
__import__(module).train_it(Path(base), Path(folder))
"""


def kill_after(step: int, module: str, base: Path, folder: Path) -> None:
    """Run the `train_it` of a test module in another process, which is killed after this update."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(here), module, str(step), str(base), str(folder)]
    killed = subprocess.run(command, capture_output=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
