"""Names of attributes, as `PUT /items` allows them."""

import re

Attributes = tuple[str, ...] | None
"""A choice of attributes by name; None is all of them, and an empty tuple none."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def is_attribute_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
