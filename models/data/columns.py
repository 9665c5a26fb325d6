"""The columns of a log and of its items file, and the `--columns` option that renames them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from models.data.bad_rows import BadInput, MissingColumn
from models.data.column_names import suggest_columns
from models.printable import to_printable

OPTION = "--columns user=…,item=…,time=…"
ROLES = {
    "user": "user_id",
    "item": "item_id",
    "time": "timestamp",
    "type": "type",
    "event_id": "event_id",
    "recommendation": "recommendation_id",
    "identity": "event_identity",
    "offset": "offset_ms",
}
"""Roles of the columns of a log, and the names that readers return them under, which are also their default names."""
REQUIRED = ("user", "item", "time")
LIVE_FIELDS = ("available", "url", "image_url")
"""Fields of items in the live catalogue that are no attributes."""
_DESCRIPTION_ROLES = {"title": "title", "categories": "categories", "items.item": "catalogue_item"}
LOG_FIELDS = {role: role for role in ROLES if role != "identity"} | _DESCRIPTION_ROLES
"""Roles of the columns of a log and of the items file beside it, and their fields in `Columns`."""
LIVE_ITEM_FIELDS = {"item": "catalogue_item"} | _DESCRIPTION_ROLES | {name: name for name in LIVE_FIELDS}
"""The same for a file of items for the live catalogue, which has no log beside it."""
MAX_SHOWN_COLUMNS = 12
MAX_SHOWN_CHARACTERS = 60

# A comma separates roles only where a role and an equals sign follow, because a column name may contain commas.
_NEXT_ROLE = re.compile(r"\s*[a-z_.]+\s*=")


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names in the file, or numbers from 1 for a file without a header; None for a default name if present.

    Readers return the log's columns under the names of ROLES. `offset` has milliseconds that are added to `time`.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    type: str | None = None
    event_id: str | None = None
    recommendation: str | None = None
    offset: str | None = None
    title: str | None = None
    categories: str | None = None
    catalogue_item: str | None = None
    available: str | None = None
    url: str | None = None
    image_url: str | None = None

    def __post_init__(self) -> None:
        if not all(getattr(self, each.name) != "" for each in fields(self)):
            raise BadInput("--columns has an empty column name; write user=NAME, item=NAME or time=NAME")
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"--columns uses one column for two roles ({', '.join(self.names)}); name three columns")

    @property
    def names(self) -> tuple[str, str, str]:
        return (self.user, self.item, self.time)

    @property
    def is_numbered(self) -> bool:
        """Whether columns are given by number, so that the file has no header."""
        return self.user.isdecimal() and self.item.isdecimal()

    def find(self, file: str, present: Sequence[str], *, needs_time: bool = True, hint: str = "") -> dict[str, str]:
        """Return the actual name of each role's column; BadInput if a required or named one is missing."""
        names: dict[str, str] = {}
        for role in ROLES:
            requested = getattr(self, role, None)
            if role == "time" and not needs_time:
                continue
            if requested is None:
                matches = [] if role == "offset" else [name for name in present if name == ROLES[role]]
                names |= {role: ROLES[role]} if len(matches) == 1 else {}
                continue
            names[role] = find_column(file, requested, present, hint=hint or _suggest(self, present))
        return names


def parse_columns(text: str, roles: Mapping[str, str] = LOG_FIELDS) -> Columns:
    """Parse `user=uid,item=movie,time=ts`, each part optional; BadInput if malformed.

    `roles` maps the roles that the text may name to fields of `Columns`.
    """
    names: dict[str, str] = {}
    for part in _split_parts(text):
        role, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or role not in roles:
            raise BadInput(f"--columns: {part.strip()!r} is not ROLE=NAME with one of the roles {', '.join(roles)}")
        if roles[role] in names:
            raise BadInput(f"--columns: {role} is set twice; remove one")
        is_quoted = len(name) > 2 and name[0] == name[-1] == '"'
        names[roles[role]] = name[1:-1].replace('""', '"') if is_quoted else name
    return Columns(**names)


def _split_parts(text: str) -> list[str]:
    parts: list[str] = []
    for piece in text.split(","):
        if parts and (parts[-1].count('"') % 2 or not _NEXT_ROLE.match(piece)):
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return parts


def find_column(file: str, name: str, present: Sequence[str], *, hint: str = f" (rename with {OPTION})") -> str:
    """Return the column with this name, also in another case; BadInput if it is missing or occurs twice."""
    matches = [each for each in present if each == name] or [each for each in present if each.lower() == name.lower()]
    if not matches:
        raise MissingColumn(f"{file}: no column {name!r}; it has {format_names(present)}{hint}", file, name)
    if len(matches) > 1:
        raise BadInput(f"{file}: two columns are called {name!r}; rename one")
    return matches[0]


def format_names(names: Sequence[str]) -> str:
    """Format column names for a message: printable, and not too many."""
    labels = [_format_name(name) for name in names[:MAX_SHOWN_COLUMNS]]
    return (", ".join(labels) or "none") + (", …" if len(names) > MAX_SHOWN_COLUMNS else "")


def format_option(names: Mapping[str, str]) -> str:
    """Format `--columns` for these roles, quoted for a shell where needed."""
    text = ",".join(f"{role}={name}" for role, name in names.items())
    return f"--columns {text}" if re.fullmatch(r"[\w=,.:-]+", text) else f"--columns '{text}'"


def _format_name(name: str) -> str:
    printable = to_printable(name)
    short = printable if len(printable) <= MAX_SHOWN_CHARACTERS else printable[:MAX_SHOWN_CHARACTERS] + "…"
    return f'"{short}"' if "," in short else short


def _suggest(columns: Columns, present: Sequence[str]) -> str:
    """A hint that names the columns which probably have the roles."""
    suggested = suggest_columns(present)
    names = {role: name if name in present else suggested.get(role, "…") for role, name in _list_required(columns)}
    return f" (rename with {format_option(names)})"


def _list_required(columns: Columns) -> list[tuple[str, str]]:
    return list(zip(REQUIRED, columns.names, strict=True))
