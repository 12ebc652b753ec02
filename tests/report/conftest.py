"""What the tests of reports share: one report of six systems, which takes seconds to make."""

import pytest
from reports import TRUNCATED, build

from gecalign import report


@pytest.fixture(scope="session")
def made() -> report.Report:
    return build(truncated=TRUNCATED)
