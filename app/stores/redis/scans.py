"""Steps of a SCAN over one server, or over all primaries of a cluster at the same time."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Cursors = Mapping[str, int]
"""Where to continue, by the name of the server."""


class ScanStep(NamedTuple):
    """Keys of a step that match, and cursors of the servers that have more; none when all keys were looked at.

    `is_whole` is False if a server did not answer, which is not asked again.
    """

    cursors: Cursors
    keys: list[bytes]
    is_whole: bool


def make_scan(cursor: int, pattern: bytes, count: int) -> tuple[Any, ...]:
    """Make the command that looks at `count` more keys of a server."""
    return ("SCAN", cursor, "MATCH", pattern, "COUNT", count)


def join_scans(replies: Mapping[str, Any]) -> ScanStep:
    """Join replies to SCAN by server; raise the error of one if no server answered."""
    answers = {name: reply for name, reply in replies.items() if not isinstance(reply, Exception)}
    if replies and not answers:
        raise next(iter(replies.values()))
    cursors = {name: int(cursor) for name, (cursor, _) in answers.items() if int(cursor)}
    return ScanStep(cursors, [key for _, keys in answers.values() for key in keys], len(answers) == len(replies))
