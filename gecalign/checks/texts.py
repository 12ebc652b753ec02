"""Checks of what models read and write: prompts, tokens, labels, lengths."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gecalign import metrics, prompts
from gecalign.checks.patient import ROWS, Check, Finding, Patient, Status, listed, scratch, together, worst
from gecalign.corpus.texts import several
from gecalign.preferences import pairs
from gecalign.runtime import store

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from gecalign.corpus.examples import Example

SAMPLE = 1000  # rows whose tokens are compared
RARE = 0.01  # a share of rows that is worth a warning, above it a failure
CUT_WARN, CUT_FAIL = 0.01, 0.10  # shares of texts that are dropped or cut off
CAP_WARN, CAP_FAIL = 99.5, 97.0  # BLEU that perfect corrections would score, were they cut off like outputs


def prompts_unseen(patient: Patient) -> Check:
    """Whether pairs and rewards ask about prompts that SFT has not been trained on."""
    study = patient.study
    trained = {example.source for example in patient.train}
    shares = {
        split: sum(example.source in trained for example in study.examples(split)) / max(len(study.examples(split)), 1)
        for split in {study.profile.pairs.split, study.profile.grpo.split}
    }
    seen = {split: share for split, share in shares.items() if share > 0}
    if not seen:
        return Check("prompts", "pass", "SFT has seen none of the prompts that pairs and rewards ask about.")
    words = ", ".join(f"{share:.0%} of the split {split}" for split, share in seen.items())
    return Check("prompts", "warn", f"SFT was trained on {words}: what it knows by heart gives few pairs and silent "
                 "groups. Set pairs__split and grpo__split to preference, and data__preference_rows.")  # fmt: skip


def references(patient: Patient) -> Check:
    """How many corrections the sentences have that outputs are judged by, and whether the source is one of them."""
    found = {split: patient.study.examples(split) for split in ("dev", "test", patient.profile.grpo.split)}
    words = [f"{split}: {_counted(examples)}" for split, examples in found.items() if examples]
    return Check("references", "pass", f"{'; '.join(words)}.")


def _counted(examples: Sequence[Example]) -> str:
    corrections = [several(example.reference) for example in examples]
    fewest, most = min(map(len, corrections)), max(map(len, corrections))
    right = sum(e.source in found for e, found in zip(examples, corrections, strict=True)) / len(examples)
    if most == 1:
        return f"one reference a sentence, for {right:.0%} the sentence itself"
    distinct = sum(len(set(found)) for found in corrections) / len(examples)
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return (
        f"{number} references a sentence ({distinct:.1f} that differ), among them for {right:.0%} the sentence itself"
    )


# ---- one prompt for all


def same_prompt(patient: Patient) -> Check:
    """Whether everything that was made under the profile's name was made with one prompt, the profile's."""
    own = prompts.digest(patient.profile.prompt)
    records = _records(patient)
    made = {name: record["spec"]["prompt"] for name, record in records.items()}
    contents = {store.digest_of(record["files"]): name for name, record in records.items()}
    mixed, asked_otherwise = list[str](), list[str]()
    for name, record in records.items():
        parents = [contents.get(record["spec"].get(key)) for key in ("sft", "start", "samples", "pairs", "model")]
        if any(parent and made[parent] != made[name] for parent in parents):
            (asked_otherwise if "system" in record["spec"] else mixed).append(name)
    if mixed:
        return Check("one prompt", "fail", f"{listed(mixed)}: made with another prompt than the product it was made "
                     "from. Delete these folders under the runs folder; they will be made again.")  # fmt: skip
    on_purpose = patient.profile.mismatched_prompt and prompts.digest(patient.profile.mismatched_prompt)
    unplanned = [name for name in asked_otherwise if made[name] != on_purpose]
    others = [name for name in records if made[name] != own and name not in asked_otherwise]
    words = f"{len(records)} products are there, and the profile's prompt is {own}."
    if unplanned:
        words += (
            f" {listed(unplanned)}: a model asked with another prompt than it was trained with. Its scores say more "
            "about the prompt than about the model; do not set them beside others."
        )
    if others:
        words += f" {len(others)} of them were made with another ({listed(others)}); they are left alone and not used."
    return Check("one prompt", "warn" if unplanned or others else "pass", words)


def _records(patient: Patient) -> dict[str, Mapping[str, Any]]:
    """Return the records of all seeds' products that a prompt went into, by folder; unreadable ones are left out."""
    found = {}
    for path in sorted(patient.study.root.glob(f"*/*/{store.RECORD}")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if not path.parent.name.endswith(".partial") and isinstance(record["spec"].get("prompt"), str):
                found[str(path.parent.relative_to(patient.study.root))] = record
        except (OSError, ValueError, KeyError, AttributeError):
            continue  # whoever loads it will say so
    return found


# ---- tokens and labels


def boundary(patient: Patient) -> Check:
    """Whether the tokens of a prompt are the same alone and with a completion behind it, and nothing gets lost."""
    tokenizer, examples = patient.tokenizer, patient.train[:SAMPLE]
    asked = [prompts.render(patient.profile.prompt, e.source) for e in examples]
    completions = [prompts.completion(several(e.reference)[0]) for e in examples]
    alone = tokenizer(asked)["input_ids"]
    whole = tokenizer([a + c for a, c in zip(asked, completions, strict=True)])["input_ids"]
    across = [i for i, (a, w) in enumerate(zip(alone, whole, strict=True)) if w[: len(a)] != a]
    texts = [tokenizer.decode(w[len(a) :], skip_special_tokens=True) for a, w in zip(alone, whole, strict=True)]
    changed = [
        i for i, text in enumerate(texts)
        if i not in set(across) and prompts.hypothesis(text) != prompts.hypothesis(completions[i])
    ]  # fmt: skip
    status = worst(_rare(len(across), len(examples)), _rare(len(changed), len(examples)))
    words = []
    if across:
        i = across[0]
        last, first = (tokenizer.decode(ids) for ids in (alone[i][-2:], whole[i][len(alone[i]) - 2 :][:3]))
        words.append(
            f"in {len(across)} of {len(examples)} rows a token spans the end of the prompt: alone it ends in {last!r}, "
            f"with a completion it goes on {first!r}. The model would be trained on one sequence and asked for "
            "another. A template must end where a token ends: without a blank, best with a colon."
        )
    if changed:
        i = changed[0]
        words.append(
            f"in {len(changed)} of {len(examples)} rows the tokenizer gives another text back than it was given: "
            f"{completions[i]!r} becomes {texts[i]!r}. Set clean_up_tokenization_spaces to false in its configuration, "
            "or take another tokenizer."
        )
    return Check("token boundary", status, " ".join(words) or f"in all of {len(examples)} rows the prompt ends where "
                 "a token ends, and the tokenizer gives back the text that it was given.")  # fmt: skip


def labels(patient: Patient) -> Check:
    """Whether the loss of SFT and DPO covers exactly the completion and its EOS; through TRL's own trainers."""
    return together("labels", [_sft_labels(patient), _dpo_labels(patient)])


def _sft_labels(patient: Patient) -> Finding:
    from gecalign.training import rows, sft
    from gecalign.training.setup import Asking, Run

    settings, tokenizer = patient.profile.sft, patient.tokenizer
    shown = rows.demonstrations(patient.train[: 8 * ROWS], patient.profile.prompt)
    usable = rows.fitting(shown, tokenizer, settings.max_length)[:ROWS]
    with scratch() as folder:
        run = Run(folder, Asking(engine=patient.engine))
        trainer = sft.trainer((patient.stand_in(), tokenizer), usable, settings, run)
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(usable))])
    counted = [row[row != -100].tolist() for row in batch["labels"]]
    for row, ids in zip(usable, counted, strict=True):
        asked, answered = _expected(tokenizer, row["prompt"], row["completion"])
        wanted = answered if settings.completion_only_loss else asked + answered
        if fault := _fault(tokenizer, ids, wanted, "SFT"):
            return "fail", fault
    if not settings.completion_only_loss:
        return "warn", ("SFT's loss covers the tokens of the prompt, too. Set sft__completion_only_loss to true, "
                        "unless that is what you want to see.")  # fmt: skip
    return "pass", f"SFT's loss covers exactly the completion and EOS, {_tokens(counted)} in {len(usable)} rows."


def _dpo_labels(patient: Patient) -> Finding:
    from gecalign.training import dpo
    from gecalign.training.setup import Asking, Run

    tokenizer, chosen = patient.tokenizer, patient.pairs()
    with scratch() as folder:
        run = Run(folder, Asking(engine=patient.engine))
        start = patient.stand_in(), tokenizer
        trainer = dpo.trainer(start, patient.stand_in(), chosen, [], patient.profile.dpo, run)
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(chosen))])
    counted = [ids[mask == 1].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)]
    texts = [(p.prompt, p.chosen) for p in chosen] + [(p.prompt, p.rejected) for p in chosen]
    for (asked, text), ids in zip(texts, counted, strict=True):
        if fault := _fault(tokenizer, ids, _expected(tokenizer, asked, text)[1], "DPO"):
            return "fail", fault
    return "pass", f"So does DPO's, {_tokens(counted)} in {len(chosen)} pairs."


def _expected(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    asked, whole = tokenizer([prompt, prompt + completion])["input_ids"]
    return asked, [*whole[len(asked) :], tokenizer.eos_token_id]


def _fault(tokenizer: PreTrainedTokenizerBase, found: list[int], wanted: list[int], method: str) -> str:
    """Return what is wrong with the tokens that a loss covers, "" where nothing is."""
    if found == wanted:
        return ""
    if not found or found[-1] != tokenizer.eos_token_id:
        return (
            f"{method}'s loss covers no EOS: the model would never learn where to stop. Give rows with exactly the "
            "columns prompt and completion; a column text beside them takes the EOS away."
        )
    return (
        f"{method}'s loss covers {tokenizer.decode(found)!r} ({len(found)} tokens), and should cover "
        f"{tokenizer.decode(wanted)!r} ({len(wanted)}). Look at the columns of the rows and at completion_only_loss."
    )


def _tokens(counted: Sequence[Sequence[int]]) -> str:
    return f"{sum(map(len, counted)):,} tokens"


# ---- lengths


def lengths(patient: Patient) -> Check:
    """Whether limits on length drop demonstrations, cut off what models should write, or exceed the context."""
    return together("lengths", [_rows_dropped(patient), _references_cut(patient), _beyond_context(patient)])


def _rows_dropped(patient: Patient) -> Finding:
    from gecalign.training.rows import demonstrations, lengths

    limit, rows = patient.profile.sft.max_length, demonstrations(patient.train, patient.profile.prompt)
    long = sum(size > limit for size in lengths(rows, patient.tokenizer))
    words = f"SFT drops {long} of {len(rows):,} rows as longer than sft__max_length, {limit} tokens."
    return _cut(long / len(rows)), words


def _references_cut(patient: Patient) -> Finding:
    limit, tokenizer = patient.profile.decoding.max_new_tokens, patient.tokenizer
    references = [e.reference for e in patient.study.examples("dev")]
    targets = tokenizer([prompts.completion(several(reference)[0]) for reference in references])["input_ids"]
    longer = sum(len(ids) >= limit for ids in targets)  # with EOS
    cut = [prompts.hypothesis(tokenizer.decode(ids[:limit])) for ids in targets]
    cap = metrics.bleu.corpus(cut, references).value if longer else 100.0
    capped = f": even perfect corrections would score {cap:.1f} BLEU. Raise it" if longer else ""
    words = f"{longer} of {len(targets):,} references of dev do not fit into decoding__max_new_tokens, {limit}{capped}."
    return "fail" if cap < CAP_FAIL else "warn" if cap < CAP_WARN else "pass", words


def _beyond_context(patient: Patient) -> Finding:
    from gecalign.models import memory

    profile = patient.profile
    splits = {"dev", "test", profile.pairs.split, profile.grpo.split}
    texts = [prompts.render(profile.prompt, e.source) for split in splits for e in patient.study.examples(split)]
    longest, new = max(map(len, patient.tokenizer(texts)["input_ids"])), profile.decoding.max_new_tokens
    context = memory.shape(profile.model).context
    words = f"The longest prompt has {longest} tokens; with {new} new ones it"
    if longest + new <= context:
        return "pass", f"{words} fits into the model's context of {context:,}."
    return "fail", (f"{words} does not fit into the model's context of {context:,}: lower data__max_chars or "
                    "decoding__max_new_tokens.")  # fmt: skip


def outputs(patient: Patient) -> Check:
    """Whether the limit on new tokens cuts off what SFT writes: greedily on dev, and, if there are any, its samples."""
    study, found = patient.study, []
    texts: dict[str, list[bool]] = {"outputs on dev": [p.truncated for p in study.evaluation("sft", "dev").predictions]}
    with suppress(store.NotMade), store.only_existing():
        drawn = pairs.read_sampled(study.samples().folder / "samples.jsonl")
        texts["samples"] = [sample.truncated for prompted in drawn for sample in prompted.samples]
    for name, truncated in texts.items():
        cut = sum(truncated)
        found.append((_cut(cut / len(truncated)), f"{cut} of {len(truncated):,} {name}"))
    status = worst(*(status for status, _ in found))
    words = f"cut off at decoding__max_new_tokens, {study.profile.decoding.max_new_tokens}: " + ", ".join(
        words for _, words in found
    )
    advice = "" if status == "pass" else (
        " Is it that the model does not stop (train SFT longer; see the check of labels), or is the limit too low? "
        "Pairs leave samples out that were cut off; BLEU and rewards count them as they are."
    )  # fmt: skip
    return Check("outputs cut off", status, f"{words}.{advice}")


def _cut(share: float) -> Status:
    return "fail" if share > CUT_FAIL else "warn" if share > CUT_WARN else "pass"


def _rare(count: int, of: int) -> Status:
    return "fail" if count > RARE * of else "warn" if count else "pass"
