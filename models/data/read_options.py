"""Options of reading a log, as the command line gives them."""

from dataclasses import dataclass, field

from models.data.bad_rows import BadInput
from models.data.columns import Columns
from models.data.encodings import check_encoding
from models.data.public_formats import get_encoding
from models.data.time_formats import check_time_format
from models.data.time_values import UTC, check_timezone

SEPARATOR_NAMES = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
MAX_SEPARATOR_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a log; None for a property that the files themselves determine.

    `format` is a name of `models/data/public_formats.py`, whose columns and encoding apply unless they are given. With
    `file_order` the order of the rows replaces times. BadInput for an invalid value.
    """

    columns: Columns | None = None
    format: str | None = None
    separator: str | None = None
    encoding: str | None = None
    timezone: str = field(default=UTC)
    time_format: str | None = None
    file_order: bool = False

    def __post_init__(self) -> None:
        if self.format is not None:
            object.__setattr__(self, "encoding", self.encoding or get_encoding(self.format))
        if self.encoding is not None:
            object.__setattr__(self, "encoding", check_encoding(self.encoding))
        check_timezone(self.timezone)
        if self.time_format is not None:
            check_time_format(self.time_format)
        if self.separator is not None:
            object.__setattr__(self, "separator", parse_separator(self.separator))


def parse_separator(text: str) -> str:
    """Return the separator that a text or a name such as `tab` means; BadInput if it cannot separate cells."""
    separator = SEPARATOR_NAMES.get(text, text)
    if not 1 <= len(separator) <= MAX_SEPARATOR_CHARACTERS or any(each in separator for each in '\r\n"\0'):
        raise BadInput(f"--separator must be tab, space or up to {MAX_SEPARATOR_CHARACTERS} characters (got {text!r})")
    return separator
