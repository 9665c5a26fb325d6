"""The native library for tests: built once, skipped without a compiler."""

import pytest

from models.native.build import build
from models.native.library import Library


def build_library_or_skip() -> Library:
    path = build()
    if path is None:
        pytest.skip("this machine has no C++ compiler")
    return Library(path)
