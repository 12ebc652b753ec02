"""A trained system as a standard Transformers folder with a model card, which anybody can load; and its way back.

folder/
    model.safetensors, config.json, tokenizer files     as the stage holds them, to the byte
    generation_config.json                              our decoding, EOS and pad
    README.md                                           the model card
    gecalign.json                                       prompt, decoding, digests, what it was made from, scores
    NOTICE, LICENSE.txt                                 where the licence of the base asks for them
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecalign import config, prompts
from gecalign.export import licences, model_card
from gecalign.export.model_card import Subject
from gecalign.runtime import files, store
from gecalign.study import existing
from gecalign.study.evaluation import Outputs
from gecalign.systems import CONTROL

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gecalign.study import Study

RECORD, FORMAT = "gecalign.json", 1
COPIED = {".safetensors", ".json", ".jinja", ".txt", ".model"}  # no other form of weights, and no code


@dataclass(frozen=True)
class Exported:
    """A model that came in a folder, and how it wants to be asked."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: config.Prompt
    decoding: config.Decoding


def export(study: Study, system: str, folder: Path, *, force: bool = False, repository: str | None = None) -> Path:
    """Write a trained system into a folder of its own, whole or not at all; return the folder.

    Nothing is trained and no test set is decoded for it: the card tells of evaluations that exist.

    Args:
        force: whether an earlier export may be replaced.
        repository: the name on the hub, user/name, that the card and its usage snippet are written for.

    Raises:
        ValueError: the system has no model of its own, or the folder is in use.
        NotMade: nobody has trained it yet; the message says how.
    """
    folder = Path(os.path.realpath(folder))  # a link to a folder stays one
    _check_free(folder, force)
    chain = existing.chain(study, system)
    subject = _subject(study, system, chain, repository)
    with files.replacing(folder) as partial:
        _write(subject, partial)
    return folder


def load(folder: Path, template: str | None = None) -> Exported:
    """Load an exported folder, or any model folder with a `gecalign.json` or with the template of its prompt.

    Raises:
        ValueError: there is no such folder, it holds no whole model, its prompt is not known, or `template` is another
            than the one it was trained with.
    """
    from gecalign.models import loading

    prompt, decoding = check(folder, template)
    return Exported(*loading.load(folder), prompt, decoding)


def check(folder: Path, template: str | None = None) -> tuple[config.Prompt, config.Decoding]:
    """Return how the model in a folder is asked; raise what `load` raises, without loading the model."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}. A model on the hub is fetched by `hf download` first.")
    prompt, decoding = _asking(folder, template)
    prompts.validate(prompt)
    if (folder / RECORD).exists():
        _check_unchanged(folder, _record(folder)["files"])
    return prompt, decoding


def _check_unchanged(folder: Path, exported: dict[str, str]) -> None:
    """Raise ValueError where a file is not what was exported; the card is for its readers to change."""
    found = store.file_digests(folder)
    changed = [name for name, digest in exported.items() if name != "README.md" and found.get(name) != digest]
    if changed:
        raise ValueError(
            f"{folder / changed[0]} {'was changed after it was exported' if changed[0] in found else 'is missing'}. "
            f"Export the model again, or fetch it again. If it was on purpose, remove {RECORD}, and give --prompt."
        )


def warnings(folder: Path) -> list[str]:
    """Return what is wrong with a model that was exported, and with those it was made from, in words."""
    chain = _record(folder)["chain"] if (folder / RECORD).exists() else []
    return [one["facts"]["warning"] for one in chain if "warning" in one.get("facts", {})]


def push(folder: Path, repository: str, private: bool = False, again: str = "the same command with --force") -> str:
    """Upload an exported folder to a model repository on the hub, made if need be; return its address.

    Args:
        again: what tries it once more, for the message.

    Raises:
        ValueError: the licence of the base forbids it so, `private` is asked of a public repository, or the hub
            refuses or cannot be reached. The folder stays as it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    record = _record(folder)
    licences.check_publishable(folder, record["licence"], record["base"], repository)
    api = HfApi()
    try:
        address = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise ValueError(f"{repository} exists and is public. Make it private on the hub, or leave out --private.")
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[*record["files"], RECORD],
            commit_message=f"Export {record['system']} of profile {record['profile']}, seed {record['seed']}",
        )
    except (OSError, HTTPError) as error:
        raise ValueError(
            f"{repository} could not be pushed ({type(error).__name__}: {_first_line(error)}). Go online, log in by "
            f"`hf auth login` with a token that may write, and give {again}. {folder} is whole."
        ) from error
    return str(address)


def _subject(study: Study, system: str, chain: tuple[store.Stage, ...], repository: str | None) -> Subject:
    from gecalign.models import loading
    from gecalign.models.decode import decode

    prompt, decoding = study.profile.prompt, replace(study.profile.decoding, samples=1)
    model, tokenizer = loading.load(chain[-1].folder / "model")
    asked = study.examples("dev")[: model_card.EXAMPLES]
    outputs = decode((model, tokenizer), [prompts.render(prompt, e.source) for e in asked], decoding, seed=study.seed)
    return Subject(
        profile=study.profile,
        seed=study.seed,
        system=system,
        name=model_card.name(study.profile.model, system) if repository is None else repository.partition("/")[2],
        address=repository or ".",
        decoding=decoding,
        chain=chain,
        evaluations={split: found for split in ("test", "validation") if (found := _evaluated(study, system, split))},
        examples=[(e.source, prompts.hypothesis(o.text)) for e, (o,) in zip(asked, outputs, strict=True)],
    )


def _evaluated(study: Study, system: str, split: str) -> tuple[Outputs, ...]:
    """Return evaluations that exist, copying first, the system last; none where the system itself has none."""
    found = []
    with store.only_existing():
        for name in dict.fromkeys(("base", "sft", CONTROL, system)) if study.examples(split) else ():
            try:
                found.append(study.evaluation(name, split))
            except existing.NotMade:
                continue
    if not found or found[-1].system != system:
        return ()
    copied = tuple(replace(p, hypothesis=p.source, truncated=False) for p in found[-1].predictions)
    return (Outputs("copy", split, copied), *found)


def _write(subject: Subject, folder: Path) -> None:
    from transformers import AutoTokenizer

    from gecalign.models.decode import generation_config

    stage = subject.chain[-1]
    for name in (Path(path) for path in stage.record["files"]):
        if name.parts[0] == "model" and name.suffix in COPIED:
            shutil.copyfile(stage.folder / name, folder / name.name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    decoding = generation_config(tokenizer, subject.decoding)
    decoding.bos_token_id = tokenizer.bos_token_id
    decoding.save_pretrained(folder)  # in place of the one that was copied
    licence = licences.write(subject.profile.model, folder)
    model_card.card(subject, licence).save(folder / "README.md")
    record = {
        "format": FORMAT,
        "name": subject.name,
        "profile": subject.profile.name,
        "system": subject.system,
        "seed": subject.seed,
        "base": model_card.base_name(subject.profile.model),
        "licence": licence,
        "prompt": {**asdict(subject.profile.prompt), "digest": prompts.digest(subject.profile.prompt)},
        "decoding": asdict(subject.decoding),
        "chain": [_public(stage) for stage in subject.chain],
        "scores": subject.numbers,
        "files": store.file_digests(folder),
    }
    store.write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _public(stage: store.Stage) -> dict[str, Any]:
    """Return the record of a product as the world may see it: without the paths of this machine."""
    from gecalign.training import health

    kept = ("stage", "digest", "spec", "facts", "seconds", "machine", "packages", "commit")
    record = {name: stage.record[name] for name in kept} | {"content": stage.content}
    if warning := health.warning_of(stage):
        record["facts"] = {**record["facts"], "warning": warning}
    if stage.record["stage"] == "data":
        source = config.Data(**stage.record["spec"]["data"])
        record["spec"] = record["spec"] | {"data": asdict(replace(source, source=model_card.data_name(source)))}
    return record


def _asking(folder: Path, template: str | None) -> tuple[config.Prompt, config.Decoding]:
    if not (folder / RECORD).exists():
        if template is None:
            raise ValueError(
                f"{folder} has no {RECORD}, so the prompt that its model was trained with is not known. Give it: "
                "--prompt $'Fix grammar: {source}\\nCorrected:' (with {source} where the sentence goes)."
            )
        return config.Prompt(template), config.Decoding()
    record = _record(folder)
    try:
        asked = config.Profile("").variant(  # which looks at every value
            prompt__template=record["prompt"]["template"],
            **{f"decoding__{name}": value for name, value in record["decoding"].items()},
        )
        prompt, decoding = asked.prompt, asked.decoding
        if prompts.digest(prompt) != record["prompt"]["digest"]:
            raise ValueError("the prompt was changed after it was exported")
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from None
    if template not in (None, prompt.template):
        raise ValueError(
            f"the model in {folder} was trained with the prompt {prompt.template!r}, and --prompt is {template!r}. Its "
            f"{RECORD} knows the prompt: leave --prompt out."
        )
    return prompt, decoding


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']} instead of {FORMAT}")
        for name, kind in (("prompt", dict), ("decoding", dict), ("files", dict), ("chain", list)):
            if not isinstance(record[name], kind):
                raise ValueError(f"{name} is no {kind.__name__}")
        if not all(isinstance(one, dict) for one in record["chain"]):
            raise ValueError("chain holds what is no record of a product")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from None
    return record


def _damaged(folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{folder / RECORD} cannot be read ({error!r}): it is damaged, or of another version of gecalign. Export the "
        "model again."
    )


def _check_free(folder: Path, force: bool) -> None:
    """Raise ValueError where a folder holds anything but an earlier export that may be replaced."""
    if Path.cwd().is_relative_to(folder):
        raise ValueError(f"the export takes the place of a folder, and you are in it: {folder}. Give ./model.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        files.check_replaced(folder, "the export")
        _check_apart(folder)
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file. Give a folder that does not exist yet, or is empty.")
    if not (folder / RECORD).exists():
        raise ValueError(f"{folder} is not empty, and no earlier export. Give a folder that does not exist yet.")
    if not force:
        raise ValueError(f"{folder} holds an earlier export. Give another folder, or --force to replace it.")
    written = {folder / name for name in (*_record(folder)["files"], RECORD)}
    if foreign := sorted(path for path in folder.rglob("*") if path not in written):
        raise ValueError(
            f"{folder} holds more than an export: {foreign[0].relative_to(folder)} would be lost. Move it elsewhere, "
            "or give another folder."
        )
    files.check_replaced(folder, "the export")


def _check_apart(folder: Path) -> None:
    """Raise ValueError where a folder lies in a product of the study, which is to stay as it was made."""
    if product := next((place for place in folder.parents if (place / store.RECORD).exists()), None):
        raise ValueError(f"{folder} lies in a product of the study, {product}, which must not change. Give ./model.")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")
