"""Two processes do what one does: the same weights, the same predictions, one folder of products."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import factories
import pandas as pd
import pytest
import together
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from methods import close, same

from gecalign import cli
from gecalign.runtime import processes

pytestmark = pytest.mark.slow
SCRIPT = Path(together.__file__)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CONFIGS = SCRIPT.parents[2] / "configs"


def launch(task: str, base: Path, folder: Path, count: int = 2, **environment: str) -> subprocess.CompletedProcess:
    """Run a task in several processes that torchrun starts, as a reader would."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    return subprocess.run(
        [*command, str(SCRIPT), task, str(base), str(folder)],
        env=ENVIRONMENT | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def seen(folder: Path) -> list[dict]:
    """Return what each process saw, and assert that there were two, connected with each other."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("seen-*.json"))]
    assert [(one["world_size"], one["connected"]) for one in told] == [(2, 2)] * 2
    return told


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    factories.write_jsonl(folder / "corpus.jsonl", factories.coedit_rows(60))
    return factories.base_folder(folder / "base")


@pytest.fixture(scope="module")
def two(base, tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("two")
    done = launch("trainings", base, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, seen(folder)


@pytest.fixture(scope="module")
def one(base, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("one")
    return folder, together.trainings(base, folder)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_two_processes_train_the_weights_of_one_at_the_same_global_batch(base, one, two, method):
    assert close(one[0] / method, two[0] / method)
    logs = [pd.read_csv(folder / method / "log.csv") for folder in (one[0], two[0])]
    assert list(logs[0]["step"]) == list(logs[1]["step"])
    columns = [name for name in ("loss", "eval_loss", "eval_bleu") if name in logs[0]]
    pd.testing.assert_frame_equal(logs[0][columns], logs[1][columns], atol=1e-3, rtol=1e-3)


def test_decoding_is_the_same_to_the_letter_and_every_process_gets_all_of_it(one, two):
    assert len(one[1]["written"]) == 23
    assert all(told["written"] == one[1]["written"] for told in two[1])


def test_processes_end_grpo_with_the_same_weights(two):
    first, second = (told["facts"]["grpo"]["weights"] for told in two[1])
    assert first == second


def test_groups_of_grpo_are_whole_though_processes_share_them(two):
    groups = pd.read_json(two[0] / "grpo" / "groups.jsonl", lines=True)
    size = 4
    assert len(groups) == 8
    for start in range(0, len(groups), size):
        group = groups.iloc[start : start + size]
        assert group["prompt"].nunique() == 1
        assert group["advantage"].sum() == pytest.approx(0, abs=1e-4)
    assert groups["prompt"].nunique() == 2
    assert groups["completion"].nunique() > 4  # processes do not draw the same


def test_weights_that_are_sharded_by_fsdp_train_to_the_same(base, one, tmp_path):
    settings = yaml.safe_load((CONFIGS / "fsdp2.yaml").read_text(encoding="utf-8"))["fsdp_config"]
    sharding = {name.upper(): str(value).lower() for name, value in settings.items()}
    done = launch("sharded", base, tmp_path, ACCELERATE_USE_FSDP="true", **sharding)
    assert done.returncode == 0, done.stderr[-3000:]
    for told in seen(tmp_path):
        assert told["sharded"]
        assert all(told["sharded"])
        assert told["written"] == one[1]["written"]
        assert told["agree"]  # the check of rewards, whose policy stands still
    assert close(one[0] / "sft", tmp_path / "sft")
    assert close(one[0] / "dpo", tmp_path / "dpo")


def test_adapters_are_trained_to_the_same(base, tmp_path):
    (tmp_path / "alone").mkdir()
    together.lora(base, tmp_path / "alone")
    done = launch("lora", base, tmp_path / "shared")
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(seen(tmp_path / "shared")) == 2
    assert close(tmp_path / "alone", tmp_path / "shared")


def test_every_stage_runs_and_leaves_one_folder(base, tmp_path):
    done = launch("study", base, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = seen(tmp_path)
    assert first == second
    assert first["agree"]
    assert first["shape"] == [6, 4]
    assert first["processes"] == 2
    folders = [path.name for path in (tmp_path / "runs" / "local" / "seed-0").iterdir() if path.is_dir()]
    assert not [name for name in folders if name.endswith(".partial")]
    assert len([name for name in folders if name.startswith("sft-")]) == 2  # the model, and its evaluation
    readings = (tmp_path / "runs" / "local" / "test-readings.txt").read_text(encoding="utf-8").splitlines()
    assert len(readings) == len(set(readings)) == 5
    assert done.stderr.count("[sft] making") == 1


def test_the_command_line_makes_products_once_and_prints_once(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "gecalign"]
    done = subprocess.run(
        [*command, "run", "pairs", "--profile", "smoke", "--skip-checks"],
        env=ENVIRONMENT | {"GECALIGN_RUNS": str(tmp_path)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["pairs"] > 0  # one JSON document: what one process prints
    assert "destroy_process_group" not in done.stderr
    sft = json.loads(next(tmp_path.glob("smoke/seed-0/sft-*/stage.json")).read_text(encoding="utf-8"))
    assert sft["machine"]["processes"] == 2


def test_the_book_is_not_built_by_several_processes(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["gecalign", "book", "--profile", "smoke"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "the book is built by one process, and there are 2" in capsys.readouterr().err


def test_a_model_is_not_exported_by_several_processes(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["gecalign", "export", str(tmp_path / "made"), "--system", "sft"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "a model is exported by one process, and there are 2" in capsys.readouterr().err


def test_a_training_is_resumed_after_one_process_was_killed(base, tmp_path):
    cut_off = launch("killed", base, tmp_path / "cut", KILL="6")
    assert cut_off.returncode != 0
    assert list((tmp_path / "cut" / "runs").glob("sft-*.partial"))
    again = launch("killed", base, tmp_path / "cut")
    assert again.returncode == 0, again.stderr[-3000:]
    whole = launch("killed", base, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr[-3000:]
    resumed, uninterrupted = seen(tmp_path / "cut")[0], seen(tmp_path / "whole")[0]
    assert resumed["resumed"]
    assert not uninterrupted["resumed"]
    assert same(Path(resumed["folder"]), Path(uninterrupted["folder"]))


def test_where_one_process_finds_a_training_broken_all_stop_and_nothing_is_left(base, tmp_path):
    done = launch("broken", base, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = seen(tmp_path)
    assert first["words"] == second["words"]
    assert "broke after update 4 of 8: a weight is nan. Lower continued__learning_rate" in first["words"]
    assert first["left"] == []


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "multi-node"])
def test_accelerate_reads_the_launch_configurations(name):
    found = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert found.num_processes >= 2
    assert not found.use_cpu
    assert (found.distributed_type == "FSDP") == bool(found.fsdp_config) == (name == "fsdp2")
    assert found.num_machines == (2 if name == "multi-node" else 1)


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch):
    from gecalign.config import SFT
    from gecalign.training import arguments

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"sft__batch_size is 8, which 3 processes cannot share evenly"):
        arguments.share(SFT(batch_size=8))


def test_processes_that_were_not_connected_are_an_error(monkeypatch):
    import accelerate

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "PartialState", lambda **_: type("Alone", (), {"num_processes": 1}))
    with pytest.raises(RuntimeError, match="2 processes were started and 1 are connected"):
        processes.state()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "abc"}, "the environment variable WORLD_SIZE is 'abc'; expected a whole number of at least 1"),
        ({"WORLD_SIZE": ""}, "the environment variable WORLD_SIZE is ''"),
        ({"WORLD_SIZE": "0"}, "the environment variable WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "-1"}, "the environment variable WORLD_SIZE is '-1'"),
        ({"WORLD_SIZE": "2.0"}, "the environment variable WORLD_SIZE is '2.0'"),
        ({"RANK": "x"}, "the environment variable RANK is 'x'; expected a whole number of at least 0"),
        ({"RANK": "1"}, "RANK is 1, and WORLD_SIZE, the number of processes, is 1"),  # else nothing would be printed
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2, and WORLD_SIZE, the number of processes, is 2"),
    ],
)
def test_an_environment_that_numbers_no_processes_is_refused_in_a_line(monkeypatch, capsys, environment, words):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["gecalign", "profiles"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gecalign: {words}")
