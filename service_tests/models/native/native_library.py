"""The library that tests run: built once, skipped where there is no compiler."""

import pytest

from models.native.build import build
from models.native.library import Library


def built_library() -> Library:
    built = build()
    if built is None:
        pytest.skip("there is no C++ compiler here")
    return Library(built)
