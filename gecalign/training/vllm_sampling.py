"""Samples written by vLLM, many times faster on a GPU: `engine__sampler`, "vllm-colocate" or "vllm-server".

Colocated, vLLM takes a share of each training GPU (`engine__vllm_memory`). As a server it has GPUs of its own and is
started beforehand; TRL copies the weights there before it asks for samples. Either draws from the distribution that
Transformers draws from, but not the same samples. vLLM is an extra (`pip install -e '.[vllm]'`), in the versions
that TRL takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gecalign.config import Decoding, Engine
from gecalign.runtime import bars, processes

if TYPE_CHECKING:
    from gecalign.models.decode import Completion
    from gecalign.models.loading import Loaded

AT_ONCE = 512  # prompts in a request
SAMPLERS = {"transformers": None, "vllm-colocate": "colocate", "vllm-server": "server"}


def mode(engine: Engine) -> str | None:
    """Return TRL's name for the way that vLLM is used, None where it is not.

    Raises:
        ValueError: there is no such sampler, or vLLM is not installed, or in a version that TRL does not take.
    """
    if engine.sampler not in SAMPLERS:
        raise ValueError(f"engine__sampler is {engine.sampler!r}; expected one of: {', '.join(SAMPLERS)}.")
    chosen = SAMPLERS[engine.sampler]
    if chosen and (fault := installed()):
        raise ValueError(
            f"{fault} Install it in the project's folder (pip install -e '.[vllm]'), or set engine__sampler to "
            "transformers."
        )
    return chosen


def installed() -> str:
    """Return what is wrong with the installed vLLM, in a sentence; nothing where TRL takes it."""
    import warnings

    from trl.import_utils import is_vllm_available

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = is_vllm_available()
    if not found:
        return "engine__sampler asks for vLLM, which is not installed."
    return str(caught[0].message) if caught else ""


def arguments(engine: Engine, length: int) -> dict[str, Any]:
    """Return what GRPO's trainer has to be told; `length` is that of the longest prompt and completion, in tokens."""
    chosen = mode(engine)
    if chosen is None:
        return {}
    return {
        "use_vllm": True,
        "vllm_mode": chosen,
        "vllm_server_base_url": engine.vllm_url if chosen == "server" else None,
        "vllm_gpu_memory_utilization": engine.vllm_memory,
        "vllm_max_model_length": length,
    }


def draw(
    loaded: Loaded, prompts: Sequence[str], config: Decoding, engine: Engine, progress: str | None = None
) -> list[list[Completion]]:
    """Return `config.samples` completions for each prompt, in their order, as `decode` does.

    Several processes share the prompts, and each gets all results. There is no seed: given one, vLLM would draw the
    same completion for every copy of a prompt.
    """
    from accelerate import Accelerator
    from tqdm import tqdm
    from trl.generation.vllm_generation import VLLMGeneration

    from gecalign.models.decode import completion

    model, tokenizer = loaded
    prompt_ids = tokenizer(list(prompts))["input_ids"]
    chosen = arguments(engine, max(map(len, prompt_ids)) + config.max_new_tokens)
    generation = VLLMGeneration(
        model=model,
        accelerator=Accelerator(cpu=model.device.type == "cpu"),
        processing_class=tokenizer,
        mode=chosen["vllm_mode"],
        server_base_url=chosen["vllm_server_base_url"],
        gpu_memory_utilization=chosen["vllm_gpu_memory_utilization"],
        max_model_length=chosen["vllm_max_model_length"],
        temperature=config.temperature,
        top_p=config.top_p,
        max_completion_length=config.max_new_tokens,
    )
    generation.sync_weights()
    # every process asks for as many, as the server expects; the last ones may have been asked before
    each = -(-len(prompt_ids) // processes.count())
    mine = [(processes.index() * each + i) % len(prompt_ids) for i in range(each)]
    written: dict[int, list[Completion]] = {}
    for start in tqdm(range(0, each, AT_ONCE), desc=progress, disable=progress is None or not bars.watched()):
        asked = mine[start : start + AT_ONCE]
        copies = [prompt_ids[i] for i in asked for _ in range(config.samples)]
        _, ids, _, _ = generation.generate(prompts=copies, images=None, num_generations=config.samples)
        for turn, number in enumerate(asked):
            group = ids[turn * config.samples : (turn + 1) * config.samples]
            written[number] = [completion(tokenizer, list(one)) for one in group]
    release(generation)
    everything = dict(processes.gather(list(written.items())))
    return [everything[i] for i in range(len(prompt_ids))]


def release(generation: Any) -> None:
    """Let go of what TRL's way to vLLM holds: the port of the server's group, or a share of the GPU.

    Else the next one, a training after the samples of pairs, would find both taken.
    """
    import gc

    import torch

    if client := getattr(generation, "vllm_client", None):  # of a server, in the main process
        client.close_communicator()
    generation.llm = None  # a colocated engine
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
