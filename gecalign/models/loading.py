"""Model and tokenizer, device, precision.

Weights are held in 32-bit floats whatever the checkpoint's type: with a small learning rate an update
is often smaller than the spacing of 16-bit floats, and such weights do not move. On a GPU the
arithmetic runs in 16 bits by autocast (`precision`). Only safetensors are read, and no remote code runs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from gecalign.config import Engine, Model
from gecalign.models import gguf, smollm2
from gecalign.runtime import hub, processes
from gecalign.runtime.store import RECORD, digest_of, file_digests

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]  # a model and its tokenizer, which go together
TINY_BASE = Path(__file__).parents[1] / "corpus" / "tinygec" / "base"


PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def device() -> torch.device:
    """Return this process's accelerator if there is one, else the CPU."""
    if processes.count() > 1:
        return processes.state().device
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def precision(engine: Engine | None = None) -> str:
    """Return the precision of the arithmetic: bf16 where the GPU has it, fp16 on older ones, fp32 on a CPU.

    Raises:
        ValueError: the engine asks for one that does not exist.
    """
    wanted = engine.precision if engine else "auto"
    if wanted != "auto":
        if wanted not in PRECISIONS:
            raise ValueError(f"engine__precision is {wanted!r}; expected auto, {', '.join(PRECISIONS)}.")
        return wanted
    if device().type != "cuda":
        return "fp32"
    # old GPUs emulate bf16, which is slower than 32 bits
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(engine: Engine | None = None) -> AbstractContextManager:
    """Return the context that computes in `precision`; weights stay 32-bit, and are converted once for all calls."""
    chosen = precision(engine)
    return nullcontext() if chosen == "fp32" else torch.autocast(device().type, PRECISIONS[chosen])


@contextmanager
def converted_once(model: PreTrainedModel) -> Iterator[None]:
    """Have autocast keep its copies of frozen weights as well, where only adapters are trained; for use without grads.

    It keeps only those of weights that have a gradient, and would convert all others for every token anew.
    """
    enabled = torch.is_autocast_enabled(device().type)
    frozen = [weight for weight in model.parameters() if enabled and not weight.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def identity(config: Model) -> str:
    """Return what tells one base model from another: a digest of a local folder's files, or name@revision.

    What is written about a model (`README.md`) is no part of it.
    """
    if not (folder := local_folder(config)):
        return f"{config.name}@{config.revision}"
    return digest_of({name: digest for name, digest in file_digests(folder).items() if not name.endswith(".md")})


def local_folder(config: Model) -> Path | None:
    """Return the folder of a shipped, fetched or local model, None for one on the hub. A GGUF file gets one.

    Raises:
        ValueError: it has a name of ours and has not been fetched, or is no good GGUF file.
    """
    path = {"tiny-base": TINY_BASE, smollm2.NAME: smollm2.path()}.get(config.name, Path(config.name).expanduser())
    if gguf.is_gguf(path) and path.is_file():
        return gguf.folder_of(path)
    if config.name == smollm2.NAME:
        raise ValueError(
            f"the model {smollm2.NAME} (model__name) is not here yet: `gecalign fetch {smollm2.NAME}` gets it."
        )
    return path if path.is_dir() else None


def load(config: Model | Path, finite: bool = True) -> Loaded:
    """Load a model in 32-bit weights onto the device, with its tokenizer (left-padded, with a pad token).

    Args:
        finite: whether weights that are no finite numbers are refused.

    Raises:
        ValueError: the folder lacks weights, configuration or tokenizer, a file is damaged, the hub cannot be
            reached, or a hub name comes without a revision. The message says what to do.
    """
    folder = config if isinstance(config, Path) else local_folder(config)
    name, revision = (str(folder), None) if folder else (config.name, config.revision)  # type: ignore[union-attr]
    if folder:
        _check_folder(folder)
    elif _is_path(name):
        raise ValueError(
            f"there is no model folder {name} (model__name). Check the spelling, and the folder you are in."
        )
    elif revision is None:
        raise ValueError(
            f"{name!r} is not a local folder. As the name of a model on the hub it needs a pinned revision "
            "(model__revision), so that the study stays the same when the model is changed there."
        )
    else:
        hub.ask("model", name, revision, "config.json")
    if device().type != "cpu":
        gc.collect()  # trainers hold models in circles of references: one that is done with would keep its memory
    try:
        # As tokenizer.json says. The class that the model names may build another one from its vocabulary: SmolLM's,
        # GPT2Tokenizer, loses that digits are split, and makes other tokens than the model was trained on.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(name, revision=revision)
        model, report = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        words = " ".join(str(error).split())  # of some libraries, a page of them
        raise ValueError(f"the model {name!r} could not be loaded ({words}). {_way_out(folder)}") from error
    if absent := sorted(report["missing_keys"]):  # the library would fill them with random numbers
        raise ValueError(f"the weights of {name!r} lack {len(absent)} tensors, such as {absent[0]}. {_way_out(folder)}")
    if finite and (broken := [name for name, one in model.named_parameters() if not torch.isfinite(one).all()]):
        raise ValueError(
            f"the weights of {name!r} are no finite numbers, such as {broken[0]}: a training that broke has left them. "
            f"{_way_out(folder)}"
        )
    _prepare_tokenizer(tokenizer, name, model.get_input_embeddings().num_embeddings)
    # a repetition penalty, for example, that came with the model would be mixed into our decoding settings
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**special)
    return model.to(device()), tokenizer


def _check_folder(folder: Path) -> None:
    needed = {
        "config.json": (folder / "config.json").exists(),
        "*.safetensors": any(folder.glob("*.safetensors")),
        "tokenizer.json": (folder / "tokenizer.json").exists(),
    }
    if missing := [name for name, there in needed.items() if not there]:
        raise ValueError(
            f"{folder} is not a complete model folder: it has no {' and no '.join(missing)}. Save model and tokenizer "
            "into the same folder: model.save_pretrained(folder); tokenizer.save_pretrained(folder)."
        )


def _is_path(name: str) -> bool:
    # a name on the hub is user/name at most
    return name.startswith((".", "~")) or Path(name).is_absolute() or name.count("/") > 1 or "\\" in name


def _way_out(folder: Path | None) -> str:
    if folder and (folder.parent / RECORD).exists():
        return f"Delete {folder.parent} to have it made again."
    if folder:
        return "A file in this folder is damaged or belongs to another model: copy or download the folder again."
    return hub.ways_out("model")


def _prepare_tokenizer(tokenizer: PreTrainedTokenizerBase, name: str, vocabulary: int) -> None:
    if tokenizer.eos_token is None:
        raise ValueError(f"the tokenizer of {name!r} has no EOS token, so no model could learn where to stop. "
                         "Name one in its tokenizer_config.json (eos_token).")  # fmt: skip
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if (largest := max(tokenizer.get_vocab().values())) >= vocabulary:
        raise ValueError(
            f"the tokenizer of {name!r} has a token of number {largest}, and the model knows only {vocabulary}: they "
            "do not belong together, or a token was added without a row in the model's embeddings."
        )
    if (last := tokenizer("a")["input_ids"][-1]) in tokenizer.all_special_ids:
        raise ValueError(
            f"the tokenizer of {name!r} puts {tokenizer.convert_ids_to_tokens(last)!r} after every text, so that a "
            "prompt would end before it is answered. Remove that from the post_processor in its tokenizer.json."
        )
    tokenizer.clean_up_tokenization_spaces = False  # it would remove blanks that the model wrote
    tokenizer.padding_side = "left"
