"""Sentences about results that would fail if they were not so.

The book's prose says what came out on the profile `tiny`. Each such sentence stands beside a call of
`claim`, so that a run in which it is false cannot be published with it. Other profiles give other numbers:
there the sentence is printed with a mark, and nothing fails.
"""

from __future__ import annotations

CHECKED_PROFILE = "tiny"


def claim(sentence: str, holds: bool, profile: str) -> None:
    """Print `sentence` with ✓ or ✗.

    Raises:
        AssertionError: it does not hold on the profile that the prose is about.
    """
    if not holds and profile == CHECKED_PROFILE:
        raise AssertionError(f"the book says: {sentence} This run says otherwise: mend the text, or the run.")
    print(f"{'✓' if holds else f'✗ (not on profile {profile})'} {sentence}")
