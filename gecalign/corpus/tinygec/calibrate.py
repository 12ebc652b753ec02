"""Fit the weights of the error rules, so that the errors come out in the shares of `errors.toml`.

    python -m gecalign.corpus.tinygec.calibrate          fit, and write weights.toml
    python -m gecalign.corpus.tinygec.calibrate --show   print realised against wanted shares only

Iterative proportional fitting: a rule that makes too few of the errors gets its weight multiplied by
wanted over realised, until the shares stand still. A change of the grammar or of a rule asks for it again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from importlib import resources
from pathlib import Path
from random import Random

from gecalign.corpus.tinygec.errors import model as errors
from gecalign.corpus.tinygec.grammar.sentences import sentence
from gecalign.corpus.tinygec.lexicon.tokens import Token

SENTENCES = 20_000
ROUNDS = 8
LARGEST_STEP = 4.0  # a rule that rarely applies must not take over at once
LARGEST_WEIGHT = 0.03  # of a sum of 1: a rule that hardly ever applies must not use up the attempts
HEADER = "# Written by gecalign.corpus.tinygec.calibrate: how often each rule of the error model is tried.\n"


def sample(sentences: int, seed: str) -> list[tuple[Token, ...]]:
    """Draw clean sentences to fit on."""
    rng = Random(seed)
    return [sentence(rng) for _ in range(sentences)]


def realised(clean: list[tuple[Token, ...]], seed: str) -> Counter[str]:
    """Count the errors that each rule makes in the sentences."""
    rng, counts = Random(seed), Counter[str]()
    for tokens in clean:
        counts.update(rule for rule, _ in errors.draw_changes(tokens, rng))
    return counts


def fit(rounds: int = ROUNDS, sentences: int = SENTENCES) -> dict[str, float]:
    """Return weights, with sum 1, that give the shares wanted, as far as the sentences offer the chance."""
    wanted = {rule: share for rules in errors.SHARES.values() for rule, share in rules.items()}
    clean = sample(sentences, "calibrate")
    for number in range(rounds):
        counts = realised(clean, f"calibrate/{number}")
        edits, total = sum(counts.values()), sum(wanted.values())
        ratios = {rule: share / total * edits / max(counts[rule], 1) for rule, share in wanted.items()}
        errors.weights().update(_adjusted(errors.weights(), ratios))
        errors.wheel.cache_clear()
    return dict(errors.weights())


def _adjusted(weights: dict[str, float], ratios: dict[str, float]) -> dict[str, float]:
    """Multiply the weights by the ratios within the limits, and scale them to a sum of 1."""
    total = sum(weights.values())
    raw = {
        rule: min(LARGEST_WEIGHT, weights[rule] / total * min(LARGEST_STEP, max(1 / LARGEST_STEP, ratio)))
        for rule, ratio in ratios.items()
    }
    return {rule: weight / sum(raw.values()) for rule, weight in raw.items()}


def show(sentences: int = SENTENCES) -> None:
    """Print how the errors divide among rules and types, beside what is wanted."""
    clean = sample(sentences, "show")
    counts = realised(clean, "show")
    edits = sum(counts.values())
    print(f"{edits / sentences:.3f} edits a sentence")
    for error_type, rules in errors.SHARES.items():
        share = 100 * sum(counts[rule] for rule in rules) / edits
        print(f"{error_type:12} {share:5.1f} wanted {errors.TARGET_SHARES[error_type]:5.1f}")
        for rule in rules:
            print(f"    {rule:28} {100 * counts[rule] / edits:5.2f} wanted {rules[rule]:5.2f}")


def main() -> None:
    """Fit and show, or show only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="print realised against wanted shares only")
    if not parser.parse_args().show:
        lines = [f"{rule} = {weight:.4g}\n" for rule, weight in fit().items()]
        path = Path(str(resources.files("gecalign.corpus.tinygec.errors"))) / "weights.toml"
        path.write_text(HEADER + "".join(lines), encoding="utf-8")
    show()


if __name__ == "__main__":
    main()
