"""The names of a log's three columns, and the `--columns` option that renames them."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.data.bad_rows import BadInput

OPTION = "--columns user=…,item=…,time=…"


@dataclass(frozen=True, slots=True)
class Columns:
    """Column names in the file; readers always return `user_id`, `item_id` and `timestamp`."""

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"

    def __post_init__(self) -> None:
        if not all(self.names):
            raise BadInput("--columns has an empty column name; write user=NAME, item=NAME or time=NAME")
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"--columns uses one column for two roles ({', '.join(self.names)}); name three columns")

    @property
    def names(self) -> tuple[str, str, str]:
        return (self.user, self.item, self.time)


def parse_columns(text: str) -> Columns:
    """Parse `user=uid,item=movie,time=ts`, each part optional; BadInput if malformed."""
    names: dict[str, str] = {}
    for part in text.split(","):
        role, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or role not in ("user", "item", "time"):
            raise BadInput(f"--columns: {part.strip()!r} is not user=NAME, item=NAME or time=NAME")
        if role in names:
            raise BadInput(f"--columns: {role} is set twice; remove one")
        names[role] = name
    return Columns(**names)


def check_columns(file: str, required: Sequence[str], present: Sequence[str], *, hint: str = OPTION) -> None:
    """Raise BadInput if a required column is missing or occurs twice."""
    for name in required:
        if name not in present:
            columns = ", ".join(present) or "none"
            rename = f" (rename with {hint})" if hint else ""
            raise BadInput(f"{file}: no column {name!r}; it has {columns}{rename}")
        if list(present).count(name) > 1:
            raise BadInput(f"{file}: two columns are called {name!r}; rename one")
