"""The model card of an exported system: what it is, how to ask it, what it scores, what made it, what it is not for.

Everything in it comes from records: of the products it was made from, and of evaluations that exist. Text from data
and names that a user chose are escaped, so that they can neither break the Markdown nor become HTML.
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
    from huggingface_hub import EvalResult, ModelCard

EXAMPLES = 3  # sentences of dev
PAPERS = {  # by the first word of a system's name
    "dpo": "https://arxiv.org/abs/2305.18290",
    "grpo": "https://arxiv.org/abs/2402.03300",
    "raft": "https://arxiv.org/abs/2304.06767",
}
DATA_LICENCES = {"tinygec": "Apache-2.0", "grammarly/coedit": "Apache-2.0"}
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
    from huggingface_hub import ModelCard, ModelCardData

    profile, family = subject.profile, subject.system.partition("-")[0]
    results = [result for split, found in subject.evaluations.items() for result in _results(subject, split, found[-1])]
    metadata = ModelCardData(
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
    sections = (_head, _usage, _scores, _behaviour, _examples, _making, _limits)
    text = "\n\n".join([*(section(subject) for section in sections), _licence(subject, licence)])
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}\n")


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


def _head(subject: Subject) -> str:
    label, about = LABELS[subject.system], SYSTEMS[subject.system].about
    about = "the base model, trained on demonstrations" if subject.system == "sft" else about
    paper = PAPERS.get(subject.system.partition("-")[0])
    method = f"[{label}]({paper})" if paper else label
    return (
        f"# {escape(subject.name)}\n\nMade from {_base(subject)}, and trained to correct the grammar of English "
        f"sentences by {method}: {about}. It is a product of gecalign, a study of how supervised fine-tuning (SFT), "
        f"DPO and GRPO compare on this task: profile `{_code(subject.profile.name)}`, seed {subject.seed}."
    )


def _usage(subject: Subject) -> str:
    return f"""## How to use it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = {json.dumps(subject.address, ensure_ascii=False)}  # this folder, or its name on the hub
TEMPLATE = {json.dumps(subject.profile.prompt.template, ensure_ascii=False)}

tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, use_safetensors=True)


def correct(sentence: str) -> str:
    inputs = tokenizer(TEMPLATE.replace("{{source}}", sentence), return_tensors="pt")
    output = model.generate(**inputs)  # decodes as generation_config.json says
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


print(correct("She go to school yesterday."))
```

Ask with exactly this prompt, one sentence at a time, and nothing after it, not even a space: the model was trained with
it, and under another one it is another system. {_decoding(subject.decoding)} With gecalign installed,
`gecalign correct "She go to school yesterday." --model FOLDER` does the same and marks what was changed."""


def _scores(subject: Subject) -> str:
    stage = subject.chain[-1]
    chosen = (
        f"On dev, by which the checkpoint was chosen, it scored {stage.facts['dev_bleu']:.1f} BLEU: too favourable a "
        "number, since it is the best of several."
    )
    if not subject.evaluations:
        return f"## What it scores\n\nIt was not evaluated on the test set. {chosen}"
    parts = ["## What it scores"]
    for split, found in subject.evaluations.items():
        scored = subject.numbers[split]
        rows = [
            [LABELS[system], *(_with_interval(row, metric.name) for metric in metrics.METRICS)]
            for system, row in scored.items()
        ]
        signature = found[-1].scores.signatures()["BLEU"]
        parts += [
            f"{found[-1].scores.n:,} sentences of {_split_words(split)}, 0-100, with 95 % intervals over sentences; "
            f"BLEU is `{_code(signature)}`.",
            tables.in_markdown(["", *(metric.name for metric in metrics.METRICS)], rows),
        ]
    copied = next(iter(subject.evaluations.values()))[0].scores.scores["BLEU"].value
    parts += [
        f"What the score means: returning the input unchanged scores {copied:.1f} BLEU, because most words of a "
        "sentence need no correction. BLEU hardly tells corrections from copying; read it beside the first row, and "
        "beside edit F0.5, which is 0 for whoever changes nothing. The intervals tell what other sentences would "
        f"give, not what another training seed would. {chosen}"
    ]
    return "\n\n".join(parts)


def _behaviour(subject: Subject) -> str:
    parts = ["## What it does"]
    for split, found in subject.evaluations.items():
        table = tables.behaviour(found)  # type: ignore[arg-type]
        rows = [[label, *cells] for label, cells in zip(table.index, table.to_numpy().tolist(), strict=True)]
        parts += [f"Shares of the sentences of {_split_words(split)}; over-corrected: of those that were right."]
        parts += [tables.in_markdown(["", *table.columns], rows)]
    return "\n\n".join(parts if subject.evaluations else [*parts, "Not measured on the test set."])


def _examples(subject: Subject) -> str:
    rows = [[escape(source), escape(hypothesis)] for source, hypothesis in subject.examples]
    return (
        f"## Examples\n\nThe first {len(rows)} sentences of dev; they were not chosen.\n\n"
        f"{tables.in_markdown(['source', 'what the model wrote'], rows)}"
    )


def _making(subject: Subject) -> str:
    stage = subject.chain[-1]
    rows = [[f"`{s.folder.name}`", _outcome(s), f"{s.record['seconds']:,.0f} s"] for s in subject.chain]
    settings = stage.record["spec"]["settings"] | {k: v for k, v in stage.record["spec"].items() if k == "lora"}
    packages = ", ".join(f"{name} {version}" for name, version in stage.record["packages"].items() if version)
    machine = ", ".join(f"{name} {value}" for name, value in stage.record["machine"].items())
    return "\n\n".join(
        [
            "## How it was made",
            f"From {_base(subject)}, on {_data(subject.profile.data)}.",
            tables.in_markdown(["step", "outcome", "took"], rows),
            "Settings of the last step:",
            f"```json\n{json.dumps(settings, indent=1)}\n```",
            f"Made by commit `{_code(stage.record['commit'] or 'unknown')}` of gecalign with `{_code(packages)}`, on "
            f"`{_code(machine)}`. `gecalign.json` holds the records of all steps, with digests.",
        ]
    )


def _limits(subject: Subject) -> str:
    return """## Limits

- A model of a study, small and trained on one corpus: it shows what a method does, and is no tool for writers. It
  overlooks errors, changes what was right, and may change what a sentence says. Let nobody be marked or rejected by its
  output, and send nothing out that it wrote and nobody read.
- English only, one sentence at a time; dialects and learners that its corpus lacks are corrected towards what it has.
- It continues any text that it is given. It was trained to repeat sentences corrected, not to be safe or
  truthful."""


def _licence(subject: Subject, licence: str) -> str:
    data_licence = DATA_LICENCES.get(subject.profile.data.source)
    words = {
        "apache-2.0": f"As its base, {_base(subject)}: Apache-2.0.",
        licences.UNKNOWN: f"That of its base, {_base(subject)}, which gecalign does not know: find it out before you "
        "pass this model on.",
        licences.LLAMA: f"**Built with Llama.** {licences.LLAMA_NOTICE} Its [terms]({licences.LLAMA_ADDRESS}) hold for "
        f"this model, which was made from {_base(subject)}, and a copy of them goes with it.",
    }
    of_model = words.get(licence, f"As its base, {_base(subject)}: {escape(licence)}.")
    of_data = data_licence or "under a licence that gecalign does not know"
    return f"## Licence\n\n{of_model} The corpus: {of_data}. gecalign, which trained it: Apache-2.0."


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


def _with_interval(row: Mapping[str, Any], metric: str) -> str:
    low, high = row["intervals"][metric]
    return f"{row[metric]:.1f} ({low:.1f} to {high:.1f})"


def _outcome(stage: Stage) -> str:
    from gecalign.training import health

    facts = stage.facts
    if "chosen_step" in facts:
        warning = health.warning_of(stage)
        trained = facts.get("trained_parameters", facts["parameters"])  # fewer with adapters
        return (
            f"{facts['updates']:,} updates of {trained:,} parameters; kept the checkpoint after "
            f"{facts['chosen_step']:,}, with the highest BLEU on dev ({facts['dev_bleu']:.1f})"
            f"{'; **warning**: ' * bool(warning)}{escape(warning)}"
        )
    known = {name: value for name, value in facts.items() if isinstance(value, int)} | dict(facts.get("rows", {}))
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in known.items())


def _decoding(decoding: config.Decoding) -> str:
    how = "greedily" if decoding.temperature == 0 else f"at temperature {decoding.temperature}, top-p {decoding.top_p},"
    return f"It is decoded {how} up to {decoding.max_new_tokens} new tokens."


def _base(subject: Subject) -> str:
    model = subject.profile.model
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


def _split_words(split: str) -> str:
    return "the test set" if split == "test" else "the corpus's own validation set, which nothing was chosen by"


def _code(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "`")


def _on_hub(model: config.Model) -> bool:
    from gecalign.models.loading import local_folder

    return local_folder(model) is None


def _data_on_hub(source: config.Data) -> bool:
    path = Path(source.source).expanduser()
    ours = ("tinygec", jfleg.NAME)
    return source.source not in ours and not path.exists() and suffix(path) not in rowfiles.TABLE_SUFFIXES
