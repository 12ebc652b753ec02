"""Checks of what the study runs on: versions, devices, precision, memory and disk."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from gecalign.checks.patient import Check, Finding, Patient, listed, together

# What the code was written against, and read in: TRL's trainers are used down to methods that are not documented.
RANGES = {"torch": ">=2.13,<3", "transformers": ">=5.23,<6", "trl": ">=1.16,<2"}
PINS = Path(__file__).resolve().parents[2] / "requirements.txt"  # where the library lies in a clone
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}  # by their name in report_to

ROOMY = 1.25  # times the disk that is needed; less than that is tight
ANSWER = 3.0  # seconds that a server of vLLM is waited for


def versions(patient: Patient) -> Check:
    """Whether the installed packages are those that the study was measured with, and all that the profile asks for."""
    bad = [
        f"{name} {found} is installed, and the code needs {wanted}" if found else f"{name} is not installed"
        for name, wanted in RANGES.items()
        if not _within(found := _installed(name), wanted)
    ] + list(_extras(patient))  # fmt: skip
    if bad:
        return Check("versions", "fail", f"{'; '.join(bad)}. Install what is written down: pip install -r "
                     "requirements.txt -c constraints.txt")  # fmt: skip
    pins = _pins(PINS)
    other = [
        f"{pin.name} {found} ({pin.specifier} is pinned)"
        for pin in pins
        if (found := _installed(pin.name)) and not _within(found, str(pin.specifier))
    ]
    if other:
        return Check("versions", "warn", f"other than measured with: {listed(other)}. Numbers may differ in the last "
                     "digits, or behaviour where a library changed.")  # fmt: skip
    shown = ", ".join(f"{name} {_installed(name)}" for name in RANGES)
    return Check("versions", "pass", f"{shown}{'; all as in requirements.txt' if pins else ''}.")


def _extras(patient: Patient) -> Iterator[str]:
    """Give what is missing of the packages that only some profiles ask for."""
    engine = patient.profile.engine
    if patient.profile.lora.rank:
        yield from _of_trl("peft", "lora__rank")
    if engine.sampler.startswith("vllm"):
        yield from _of_trl("vllm", "engine__sampler")
    for tracker in engine.report_to.split(","):
        if tracker in TRACKERS and _installed(TRACKERS[tracker]) is None:
            yield f"{TRACKERS[tracker]} is not installed, and engine__report_to asks for it"


def _of_trl(name: str, setting: str) -> Iterator[str]:
    """Give what is wrong with a package that TRL can do without, and takes in a range of versions."""
    wanted = next((r.specifier for r in _requirements("trl") if r.name == name), SpecifierSet())
    found = _installed(name)
    if found is None:
        yield f"{name} is not installed, and {setting} asks for it (TRL takes {name}{wanted})"
    elif not _within(found, str(wanted)):
        yield f"{name} {found} is installed, and TRL takes {name}{wanted}"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _within(found: str | None, wanted: str) -> bool:
    return found is not None and SpecifierSet(wanted).contains(found, prereleases=True)


def _requirements(package: str) -> list[Requirement]:
    return [Requirement(line) for line in importlib.metadata.requires(package) or []]


def _pins(path: Path) -> list[Requirement]:
    """Return the pins of a requirements file, none where there is no such file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(Requirement(line.partition("#")[0].strip()))
        except InvalidRequirement:
            continue  # an empty line, a comment, an option
    return [pin for pin in found if canonicalize_name(pin.name) != "gecalign"]


# ---- device and precision


def device(patient: Patient) -> Check:
    """Whether the device suits the size of the model, its processes, and the precision that is asked for."""
    import torch

    from gecalign import plan
    from gecalign.models import loading, memory
    from gecalign.runtime import processes

    size = memory.shape(patient.profile.model).parameters
    precision = loading.precision(patient.profile.engine)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = torch.cuda.get_device_name() if gpus else loading.device().type
    found: list[Finding] = [("pass", f"{size / 1e6:,.0f} M parameters on {name}, computing in {precision}.")]
    if size > plan.LARGE and loading.device().type == "cpu":
        found.append(("warn", f"Without a GPU the whole study takes about {_hours(patient.plan.seconds)} a seed. Use "
                      "one, or the profile tiny."))  # fmt: skip
    if gpus and processes.count() > gpus:
        found.append(("fail", f"{processes.count()} processes share {gpus} GPUs: start one for each."))
    if 1 < gpus != processes.count():
        found.append(("warn", f"{gpus} GPUs are there, and {processes.count()} are used: start by `torchrun "
                      f"--nproc_per_node {gpus} -m gecalign ...`, or hide some (CUDA_VISIBLE_DEVICES)."))  # fmt: skip
    found += _precision(precision, gpus > 0) + _sampler(patient, gpus > 0)
    return together("device", found)


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.0f} hours"


def _precision(precision: str, gpu: bool) -> list[Finding]:
    import torch

    if gpu:
        if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            return [("fail", "This GPU has no bf16 and emulates it, more slowly than 32 bits: set engine__precision "
                     "to fp16.")]  # fmt: skip
        return []
    if precision == "fp16":
        return [("fail", "fp16 is for GPUs: set engine__precision to fp32, or auto.")]
    if precision == "bf16" and not torch.cpu._is_avx512_bf16_supported():
        return [("warn", "This CPU has no bf16 and emulates it, many times slower: set engine__precision to fp32.")]
    return []


def _sampler(patient: Patient, gpu: bool) -> list[Finding]:
    engine = patient.profile.engine
    if engine.sampler == "vllm-colocate" and not gpu:
        return [("fail", "vLLM in the same process needs a GPU: set engine__sampler to transformers.")]
    if engine.sampler == "vllm-server" and (fault := _unreachable(engine.vllm_url)):
        return [("fail", f"No server of vLLM answers at {engine.vllm_url} ({fault}): start one with `trl vllm-serve "
                 "--model ...`, set engine__vllm_url, or set engine__sampler to transformers.")]  # fmt: skip
    return []


def _unreachable(url: str) -> str:
    """Return why a server of TRL does not answer, "" where it does."""
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER):
            return ""
    except (OSError, ValueError) as error:
        return str(error)


# ---- room


def room(patient: Patient) -> Check:
    """Whether memory and disk suffice for what is still to be made."""
    made = patient.plan
    folder = next(path for path in (patient.study.root, *patient.study.root.parents) if path.exists())
    there = shutil.disk_usage(folder).free
    disk = f"disk: about {_gigabytes(made.disk)} of {_gigabytes(there)} that are free"
    elsewhere = "Free some, or set GECALIGN_RUNS to a folder on another disk."
    largest = max(made.steps, key=lambda step: step.memory)
    kind = "GPU memory" if made.machine.accelerator else "RAM"
    memory = f"{kind}: at the most {_gigabytes(made.memory)} of {_gigabytes(made.machine.free)} ({largest.name})"
    stuck = [step.name for step in made.steps if step.updates and step.micro_batch is None]
    found: list[Finding] = [("pass", f"{disk}."), ("pass", f"{memory}.")]
    if made.disk > there:
        found[0] = "fail", f"{disk}: too little. {elsewhere}"
    elif made.disk > there / ROOMY:
        found[0] = "warn", f"{disk}: tight, as estimates are rough. {elsewhere}"
    if stuck or made.memory > made.machine.free:
        what = f"not even one row of {listed(stuck)} fits" if stuck else "too little"
        ways = (
            "Free some, set engine__gradient_checkpointing to true, take adapters (lora__rank=16), lower "
            "decoding__batch_tokens, or take a larger machine; `gecalign plan` shows what each step needs."
        )
        found[1] = "fail", f"{memory}: {what}. {ways}"
    return together("room", found)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
