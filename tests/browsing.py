"""Chromium for the tests that look at pages: how it is started, how long it may take, and what it must not ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

PATIENCE = 180_000  # ms: a page takes a tenth of a second, and far more on a machine that is busy
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


@contextmanager
def chromium() -> Iterator:
    """Open Debian's Chromium; skip the test where there is none, and fail it in continuous integration."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        reason = "no Chromium on this machine: apt-get install chromium fonts-dejavu-core"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=QUIET, timeout=PATIENCE)
        yield opened
        opened.close()


def outside(url: str) -> bool:
    """Whether a request leaves the machine."""
    return urlsplit(url).scheme not in ("file", "data", "blob", "about")
