"""Under which names a log holds its three columns. It knows names only: no file, no type."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.data.bad_rows import BadInput

OPTION = "--columns user=…,item=…,time=…"


@dataclass(frozen=True, slots=True)
class Columns:
    """The names in the file; what is read is called `user_id`, `item_id` and `timestamp` whatever they are."""

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"

    def __post_init__(self) -> None:
        if not all(self.names):
            raise BadInput("columns: a name is empty")
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"columns: one column cannot be two things ({', '.join(self.names)})")

    @property
    def names(self) -> tuple[str, str, str]:
        return (self.user, self.item, self.time)


def parse_columns(text: str) -> Columns:
    """`user=uid,item=movie,time=ts`, each part optional; BadInput says what is wrong with it."""
    given: dict[str, str] = {}
    for part in text.split(","):
        role, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or role not in ("user", "item", "time"):
            raise BadInput(f"columns: {part.strip()!r} is not user=NAME, item=NAME or time=NAME")
        if role in given:
            raise BadInput(f"columns: {role} is given twice")
        given[role] = name
    return Columns(**given)


def check_columns(file: str, wanted: Sequence[str], present: Sequence[str], *, hint: str = OPTION) -> None:
    """Refuse a file that lacks a wanted column or has it twice."""
    for name in wanted:
        if name not in present:
            there = ", ".join(present) or "none"
            raise BadInput(f"{file}: no column {name!r}; it has {there}" + (f" (rename with {hint})" if hint else ""))
        if list(present).count(name) > 1:
            raise BadInput(f"{file}: two columns are called {name!r}")
