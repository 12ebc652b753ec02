"""The model card of an exported system: what it is, how to ask it, what it scores, what made it, what it is not for.

What it says stands in `model_card.md.jinja`. What is filled in comes from records: of the products it was made from,
and of evaluations that exist. Text from data and names that a user chose are escaped, so that they can neither break
the Markdown nor become HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, metrics
from gecalign.corpus import jfleg, rowfiles
from gecalign.corpus.textfiles import suffix
from gecalign.export import licences
from gecalign.models import smollm2
from gecalign.runtime.store import Stage
from gecalign.statistics import compare
from gecalign.study import tables
from gecalign.study.evaluation import Outputs
from gecalign.systems import LABELS, SYSTEMS

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
EXAMPLES = 3  # sentences of dev
PAPERS = {  # by the first word of a system's name
    "dpo": "https://arxiv.org/abs/2305.18290",
    "grpo": "https://arxiv.org/abs/2402.03300",
    "raft": "https://arxiv.org/abs/2304.06767",
}
DATA_LICENCES = {"tinygec": "Apache-2.0", "grammarly/coedit": "Apache-2.0"}
SPLITS = {"test": "the test set", "validation": "the corpus's own validation set, which nothing was chosen by"}
HUB_METRICS = {"BLEU": "sacrebleu", "chrF2": "chrf"}  # the hub's names; the others it does not know


@dataclass(frozen=True)
class Subject:
    """What a card tells about."""

    profile: config.Profile
    seed: int
    system: str
    name: str  # of the model
    address: str  # what the usage snippet loads: a name on the hub, or "."
    decoding: config.Decoding
    chain: Sequence[Stage]  # what it was made from, corpus first, itself last
    evaluations: Mapping[str, Sequence[Outputs]]  # by split: copying first, the system last
    examples: Sequence[tuple[str, str]]  # source and hypothesis

    @cached_property
    def numbers(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What the outputs score (0-100, with 95 % intervals) and their rates (0-1), by split and system."""
        return {split: _numbers(found) for split, found in self.evaluations.items()}


def card(subject: Subject, licence: str) -> ModelCard:
    """Return the model card: metadata that the hub reads, and text for people."""
    from huggingface_hub import ModelCard

    profile, stage, decoding = subject.profile, subject.chain[-1], subject.decoding
    family, label = subject.system.partition("-")[0], LABELS[subject.system]
    spec, about = stage.record["spec"], SYSTEMS[subject.system].about
    copied = [found[0].scores.scores["BLEU"].value for found in subject.evaluations.values()]
    return ModelCard.from_template(
        _metadata(subject, licence),
        template_path=str(TEMPLATE),
        subject=subject,
        stage=stage,
        base=_base(profile.model),
        data=_data(profile.data),
        method=f"[{label}]({PAPERS[family]})" if family in PAPERS else label,
        about="the base model, trained on demonstrations" if subject.system == "sft" else about,
        how=f"at temperature {decoding.temperature}, top-p {decoding.top_p}," if decoding.temperature else "greedily",
        copied=copied[0] if copied else None,
        splits=SPLITS,
        scores=_scores,
        behaviour=_behaviour,
        examples=tables.in_markdown(
            ["source", "what the model wrote"], [list(map(escape, example)) for example in subject.examples]
        ),
        steps=tables.in_markdown(["step", "outcome", "took"], [_step(made) for made in subject.chain]),
        settings=json.dumps(spec["settings"] | {k: v for k, v in spec.items() if k == "lora"}, indent=1),
        packages=", ".join(f"{name} {version}" for name, version in stage.record["packages"].items() if version),
        machine=", ".join(f"{name} {value}" for name, value in stage.record["machine"].items()),
        licence=licence,
        licences=licences,
        data_licence=DATA_LICENCES.get(profile.data.source),
        escape=escape,
        code=_code,
        quoted=lambda text: json.dumps(text, ensure_ascii=False),
    )


def name(model: config.Model, system: str) -> str:
    """Return what an exported model is called: SmolLM-135M-gec-dpo."""
    found = re.sub(r"[^\w.-]+", "-", base_name(model).rpartition("/")[2])
    prefix = "Llama-" if licences.of(model) == licences.LLAMA and not found.startswith("Llama") else ""
    return f"{prefix}{found}-gec-{system}"


def base_name(model: config.Model) -> str:
    """Return the name of a base as the world may see it: of a local folder, its last part."""
    ours = ("tiny-base", smollm2.NAME)
    return model.name if _on_hub(model) or model.name in ours else Path(model.name).expanduser().absolute().name


def data_name(source: config.Data) -> str:
    """Return the name of a corpus as the world may see it: of a local file or folder, the last part."""
    if source.source in ("tinygec", jfleg.NAME) or _data_on_hub(source):
        return source.source
    return Path(source.source).expanduser().absolute().name


def escape(text: str) -> str:
    """Return text from elsewhere as one line of plain words in Markdown, whatever stands in it.

    >>> escape("| <b>*She*</b>")
    '&#124; &#60;b&#62;&#42;She&#42;&#60;&#47;b&#62;'
    """
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    # an entity never has a meaning in Markdown; dots inside words make addresses into links, too
    return re.sub(r"(?<=[^\W\d])\.(?=[^\W\d])|[!#$%&*+/:<=>@\[\\\]^_`{|}~]", lambda found: f"&#{ord(found[0])};", line)


def _metadata(subject: Subject, licence: str) -> ModelCardData:
    from huggingface_hub import ModelCardData

    profile, family = subject.profile, subject.system.partition("-")[0]
    results = [result for split, found in subject.evaluations.items() for result in _results(subject, split, found[-1])]
    return ModelCardData(
        language="en",
        license=licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=profile.model.name if _on_hub(profile.model) else None,
        datasets=[profile.data.source] if _data_on_hub(profile.data) else None,
        tags=["grammatical-error-correction", "gecalign", *({family} & {"sft", "dpo", "grpo"})],
        metrics=list(HUB_METRICS.values()) if results else None,
        model_name=subject.name,
        eval_results=results or None,
    )


def _results(subject: Subject, split: str, outputs: Outputs) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    source, row = subject.profile.data, subject.numbers[split][outputs.system]
    rows = f"{row['n']} rows that gecalign set apart" if split == "test" else f"{row['n']} rows"
    return [
        EvalResult(
            task_type="text-generation",
            task_name="grammatical error correction",
            dataset_type=data_name(source),
            dataset_name=data_name(source),
            dataset_config=source.task,
            dataset_split="train" if split == "test" and _data_on_hub(source) else split,
            dataset_revision=source.revision,
            dataset_args={"rows": rows},
            metric_type=HUB_METRICS.get(metric, metric),
            metric_name=metric,
            metric_value=round(row[metric], 2),
            metric_args={
                "signature": outputs.scores.signatures()[metric],
                "interval_95": [round(bound, 2) for bound in row["intervals"][metric]],
            },
        )
        for metric in outputs.scores.scores
    ]


def _numbers(found: Sequence[Outputs]) -> dict[str, dict[str, Any]]:
    bounds = {metric.name: _intervals(metric, found) for metric in metrics.METRICS}
    return {
        outputs.system: {
            "n": outputs.scores.n,
            **outputs.scores.row(),
            "intervals": {metric: [by[outputs.system].low, by[outputs.system].high] for metric, by in bounds.items()},
        }
        for outputs in found
    }


def _intervals(metric: metrics.Metric, found: Sequence[Outputs]) -> dict[str, compare.Interval]:
    statistics = {o.system: metric.statistics(o.hypotheses, o.references, o.sources) for o in found}
    return compare.intervals(statistics, metric.score)


def _scores(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    def cell(row: Mapping[str, Any], metric: str) -> str:
        low, high = row["intervals"][metric]
        return f"{row[metric]:.1f} ({low:.1f} to {high:.1f})"

    names = [metric.name for metric in metrics.METRICS]
    rows = [[LABELS[system], *(cell(row, metric) for metric in names)] for system, row in numbers.items()]
    return tables.in_markdown(["", *names], rows)


def _behaviour(found: Sequence[Outputs]) -> str:
    table = tables.behaviour(found)  # type: ignore[arg-type]
    rows = [[label, *cells] for label, cells in zip(table.index, table.to_numpy().tolist(), strict=True)]
    return tables.in_markdown(["", *table.columns], rows)


def _step(stage: Stage) -> list[str]:
    return [f"`{stage.folder.name}`", _outcome(stage), f"{stage.record['seconds']:,.0f} s"]


def _outcome(stage: Stage) -> str:
    from gecalign.training import health

    facts = stage.facts
    if "chosen_step" in facts:
        warning = health.warning_of(stage)
        trained = facts.get("trained_parameters", facts["parameters"])  # fewer with adapters
        yardstick = health.yardstick_of([facts], "dev")
        return (
            f"{facts['updates']:,} updates of {trained:,} parameters; kept the checkpoint after "
            f"{facts['chosen_step']:,}, with the highest {yardstick.upper()} on dev ({facts[f'dev_{yardstick}']:.1f})"
            f"{'; **warning**: ' * bool(warning)}{escape(warning)}"
        )
    known = {name: value for name, value in facts.items() if isinstance(value, int)} | dict(facts.get("rows", {}))
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in known.items())


def _base(model: config.Model) -> str:
    if _on_hub(model):
        return f"[{escape(model.name)}](https://huggingface.co/{model.name}/tree/{model.revision})"
    named = {"tiny-base": "the tiny base model of gecalign", smollm2.NAME: smollm2.ABOUT}
    return named.get(model.name, f"the model {escape(base_name(model))}")


def _data(source: config.Data) -> str:
    hasty = (
        f", with demonstrations by a simulated annotator who leaves {source.miss:.0%} of the errors"
        if source.miss
        else ""
    )
    if source.source == "tinygec":
        return f"TinyGEC, English sentences and errors that a program generates{hasty}"
    if source.source == jfleg.NAME:
        return jfleg.ABOUT
    task = f", rows of the task {escape(source.task)}" if source.task else ""
    if _data_on_hub(source):
        return (
            f"[{escape(source.source)}](https://huggingface.co/datasets/{source.source}/tree/{source.revision}){task}"
        )
    return f"the corpus {escape(data_name(source))}{task}"


def _code(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "`")


def _on_hub(model: config.Model) -> bool:
    from gecalign.models.loading import local_folder

    return local_folder(model) is None


def _data_on_hub(source: config.Data) -> bool:
    path = Path(source.source).expanduser()
    ours = ("tinygec", jfleg.NAME)
    return source.source not in ours and not path.exists() and suffix(path) not in rowfiles.TABLE_SUFFIXES
