"""Chromium of the system, driven by Playwright: nothing is downloaded, and no browser is installed by pip."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Path of Chromium: CHROMIUM, else the first of its usual names on PATH."""
    named = os.environ.get("CHROMIUM")
    if named is not None:
        return named if Path(named).exists() else None
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run Chromium until the block ends; skips the test where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
