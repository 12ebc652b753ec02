"""What TRL's trainers are told, whatever the method: when to evaluate, what to keep, how many rows fit into memory."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, Trainer

from gecalign import config
from gecalign.models import loading, memory
from gecalign.runtime import processes
from gecalign.training.setup import Run

LOG_ROWS = 60  # spread evenly over the training; the updates that are evaluated are logged as well

Settings = config.SFT | config.DPO | config.Online


def even_steps(steps: int, evaluations: int, multiple: int = 1) -> tuple[int, ...]:
    """Return at which updates to evaluate: evenly, the last one included, and at multiples of `multiple` before it.

    >>> even_steps(80, 4)
    (20, 40, 60, 80)
    """
    if steps < 1 or evaluations < 1:
        raise ValueError(f"the updates ({steps}) and the evaluations among them ({evaluations}) must be at least 1.")
    even = {multiple * round(i * steps / evaluations / multiple) for i in range(1, evaluations)}
    return tuple(sorted({*(even - {0}), steps}))


def evaluation_steps(steps: int, evaluations: int) -> tuple[int, ...]:
    """Return at which updates to evaluate: evenly, and denser at the start, where most is learnt.

    >>> evaluation_steps(800, 4)
    (25, 50, 100, 200, 400, 600, 800)
    """
    even_steps(1, min(steps, evaluations))  # checks both
    interval = max(1, steps // evaluations)
    early = {interval // 8, interval // 4, interval // 2} - {0}
    return tuple(sorted({*early, *range(interval, steps + 1, interval), steps}))


def shared(settings: Settings, steps: int, run: Run, micro_batch: int) -> dict[str, Any]:
    """Return the trainer's arguments that all methods share; see `share` for what a process has in memory at once."""
    engine, folder = run.engine, run.folder
    precision = loading.precision(engine)
    return {
        "output_dir": str(folder / "checkpoints"),
        "seed": run.seed,
        "max_steps": steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": share(settings) // micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps,
        "lr_scheduler_type": "cosine",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "activation_checkpointing": engine.gradient_checkpointing,
        # `EvaluateAt` adds steps to these two
        "eval_strategy": "steps",
        "eval_steps": steps,
        "save_strategy": "steps",
        "save_steps": steps,
        "save_total_limit": 2,  # the best one and the last
        "metric_for_best_model": run.yardstick,
        "greater_is_better": True,
        "logging_steps": max(1, steps // LOG_ROWS),
        "logging_nan_inf_filter": False,  # it takes losses that are no numbers out of the log, and nobody would know
        "disable_tqdm": True,  # `Progress` shows one, where somebody sees it
        "dataloader_pin_memory": loading.device().type == "cuda",
        "report_to": engine.report_to.split(","),
        "project": "gecalign",
        "run_name": "/".join([*folder.parts[-3:-1], folder.name.removesuffix(".partial")]),
        "use_cpu": loading.device().type == "cpu",
        "ddp_find_unused_parameters": False,
        "ddp_timeout": int(processes.PATIENCE.total_seconds()),
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
    }


def micro_batch(
    settings: Settings, model: PreTrainedModel, run: Run, rows: memory.Rows, frozen: int = 0, later: int = 0
) -> int:
    """Return how many rows a process has in memory at once: what the settings say, or as many as fit.

    What is learnt does not depend on it: gradients are added up over the micro-batches of a batch. (But for rounding,
    and for the last batch of an epoch of DPO where the pairs do not fill it: its parts weigh the same, whatever they
    hold.)

    Args:
        frozen: other models that compute during an update.
        later: those among them that are not loaded yet.

    Raises:
        ValueError: the micro-batch of the settings does not divide the batch, or not even one row fits.
    """
    batch, engine = share(settings), run.engine
    if settings.micro_batch_size is not None:
        if batch % settings.micro_batch_size:
            name = config.part_of(settings)
            raise ValueError(
                f"{name}__micro_batch_size is {settings.micro_batch_size}, which does not divide the "
                f"{batch} rows that a process has of a batch. Set one that does, or None: as many as fit."
            )
        return settings.micro_batch_size
    on_cpu = model.device.type == "cpu"
    how = memory.Training(
        loading.precision(engine), not on_cpu, engine.gradient_checkpointing, run.lora.rank, processes.count(),
        processes.sharded(), frozen,
    )  # fmt: skip
    shape = memory.shape_of(model.config)
    free = memory.free(engine) // (processes.count() if on_cpu else 1) - later * memory.weights(shape)
    free += memory.weights(shape) - memory.kept(shape, how)  # loaded whole, sharded when the training begins
    try:
        found = memory.micro_batch(batch, rows, shape, free, how), ""
    except ValueError as error:
        limit = engine.memory_gb
        found = 0, str(error) + (f" (engine__memory_gb, {limit:g}, says what may be used.)" if limit else "")
    everywhere = processes.gather([found])  # of all, before one gives up: the others would wait for it
    if fault := next((fault for _, fault in everywhere if fault), ""):
        raise ValueError(fault)
    return min(fitting for fitting, _ in everywhere)


def of(kind: type, **values: Any) -> Any:
    """Return a trainer's arguments; a process uses one GPU, however many there are (`torchrun` starts more)."""
    made = kind(**values)
    made._n_gpu = min(made.n_gpu, 1)
    return made


def share(settings: Settings) -> int:
    """Return how much of a batch falls to one process.

    Raises:
        ValueError: the batch cannot be divided among the processes.
    """
    if settings.batch_size % processes.count():
        name = config.part_of(settings)
        raise ValueError(
            f"{name}__batch_size is {settings.batch_size}, which {processes.count()} processes cannot share "
            "evenly. Start another number of them, or change it (which changes what is learnt)."
        )
    return settings.batch_size // processes.count()


def precision_of(trainer: Trainer) -> str:
    """Return the precision that a trainer computes in."""
    return "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "fp32"


def adapters(settings: config.LoRA) -> Any:
    """Return what TRL's trainers take as `peft_config`, None where all weights are trained.

    Raises:
        ValueError: weights are to be sharded as well, which adapters cannot be merged into.
    """
    if settings.rank == 0:
        return None
    if processes.sharded():
        raise ValueError(
            "adapters are merged into whole weights at the end, and here weights are sharded. Beside adapters there is "
            "little to shard: use configs/ddp.yaml, or train all weights (lora__rank=0, with lower learning rates)."
        )
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",  # but for the output embeddings
        task_type="CAUSAL_LM",
    )
