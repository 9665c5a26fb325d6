"""Times among values of attributes: texts in RFC 3339 with an offset."""

import re
from datetime import datetime

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def parse_time(text: str) -> float | None:
    """Return Unix seconds; None for a text that is not a time."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:  # no such day or hour
        return None
