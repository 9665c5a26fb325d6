"""Properties of librdkafka from a file, for security and tuning: one `name=value` per line, # for comments.

They are in a file because a password in an option is visible to other users of the machine. Errors name file and line
and never quote a value.
"""

import re
from collections.abc import Mapping
from pathlib import Path

MAX_BYTES = 100_000
OWN_PROPERTIES = {
    "bootstrap.servers": "use --brokers",
    "metadata.broker.list": "use --brokers",
    "group.id": "use --group",
    "auto.offset.reset": "use --start",
    "enable.auto.commit": "offsets are committed after events are stored",
    "enable.auto.offset.store": "offsets are committed after events are stored",
    "enable.partition.eof": "the consumer has no use for it",
}
"""Properties that the command sets, with the reason or the option."""
_LINE = re.compile(r"\s*([a-z][a-z0-9._]*)\s*=\s*(.*?)\s*")


def read_properties(path: Path) -> dict[str, str]:
    """Read a file of properties; ValueError names the file and the line of a mistake."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES:,} bytes; name a file of librdkafka properties")
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; name a file of librdkafka properties") from None
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}:{number} is not name=value; correct it")
        if (advice := OWN_PROPERTIES.get(match[1])) is not None:
            raise ValueError(f"{path}:{number} sets {match[1]}, which nextup sets; {advice}")
        properties[match[1]] = match[2]
    return properties


def build_consumer_properties(
    brokers: str, group: str, start: str, more: Mapping[str, str] | None = None
) -> dict[str, str | int | bool]:
    """Build the properties of a consumer; `more` overrides the defaults that are not essential."""
    return {
        "partition.assignment.strategy": "cooperative-sticky",  # partitions that stay are not interrupted
        "queued.max.messages.kbytes": 16_384,  # bounds the messages in memory; the default is 64 MB per partition
        "fetch.message.max.bytes": 1_048_576,
        "socket.timeout.ms": 10_000,  # bounds a commit
        "session.timeout.ms": 30_000,
        "client.id": "nextup",
        **(more or {}),
        "bootstrap.servers": brokers,
        "group.id": group,
        "auto.offset.reset": start,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
