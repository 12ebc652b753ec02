"""What a study is planned for: the machine at hand, or a GPU that is elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gecalign import config
from gecalign.models import memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What a study is planned for."""

    name: str
    accelerator: bool
    precision: str  # "bf16", "fp16" or "fp32"
    free: int  # bytes that a process can take
    processes: int = 1
    sharded: bool = False  # weights, gradients and moments among the processes


def this_machine(profile: config.Profile) -> Machine:
    """Return the machine at hand, as this process sees it."""
    import os

    import torch

    from gecalign.models import loading
    from gecalign.runtime import processes

    device, count = loading.device(), processes.count()
    on_cpu, free = device.type == "cpu", memory.free(profile.engine)
    name = f"{os.cpu_count()} CPU cores" if on_cpu else device.type
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    free //= count if on_cpu else 1
    return Machine(name, not on_cpu, loading.precision(profile.engine), free, count, processes.sharded())


def gpu(gigabytes: float) -> Machine:
    """Return a machine with a GPU of so many GB that has bf16; a gigabyte is left to the system.

    Raises:
        ValueError: it would have no more than that.
    """
    if not 1 < gigabytes < math.inf:
        raise ValueError(f"--gpu is {gigabytes:g}; expected the GPU's memory in GB, more than 1.")
    return Machine(f"a GPU with {gigabytes:g} GB", True, "bf16", int((gigabytes - 1) * 1e9))
