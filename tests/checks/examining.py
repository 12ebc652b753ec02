"""How the tests of checks look at a study, and what they expect to be found."""

from __future__ import annotations

import re

from gecalign.checks.patient import Check, Patient
from gecalign.study import Study


def patient(study: Study, **changes: object) -> Patient:
    return Patient(study.variant(study.profile.variant(**changes)))


def assert_found(check: Check, status: str, words: str) -> None:
    assert check.status == status, check
    assert re.search(words, check.words), check.words
