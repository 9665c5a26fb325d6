"""Columns of a file that become fields and attributes of items in the live catalogue."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.items.schemas import MAX_ATTRIBUTES, AttributeName
from models.data.attribute_columns import PREFIX, find_named_columns
from models.data.bad_rows import BadInput
from models.data.columns import LIVE_FIELDS, LIVE_ITEM_FIELDS, Columns, format_names, parse_columns
from models.data.item_rows import find_item_columns, find_named_column

NAME_RULE = "letters, digits, _ . and -, at most 64 of them, the first a letter or _"
_name = TypeAdapter(AttributeName)


class AttributeColumns:
    """Selects the columns of a file; `left_out` collects those that cannot be attributes, with the reason.

    `requested` None are all columns that have no other role.
    """

    def __init__(self, requested: Sequence[str] | None) -> None:
        self._requested = requested
        self._unseen = set(requested or ())
        self.left_out: dict[str, str] = {}
        wrong = [name for name in requested or () if not is_attribute_name(name)]
        if wrong:
            raise BadInput(f"--attributes: {wrong[0]!r} cannot be the name of an attribute; use {NAME_RULE}")
        check_count(len(set(requested or ())), "--attributes names")

    @property
    def is_explicit(self) -> bool:
        return self._requested is not None

    @property
    def unseen(self) -> list[str]:
        """Requested attributes that no row has."""
        return sorted(self._unseen)

    def includes(self, name: str) -> bool:
        """Whether `name` is requested: the object of all attributes need not be."""
        return self._requested is None or name in self._requested

    def make_finder(self, *, has_header: bool) -> Callable[[str, Columns, Sequence[str]], dict[str, str]]:
        """Make the function that maps targets to columns."""

        def find_columns(file: str, columns: Columns, present: Sequence[str]) -> dict[str, str]:
            names = find_item_columns(file, columns, present, has_header=has_header, id_role="item")
            names |= find_live_columns(file, columns, present, taken=names.values(), has_header=has_header)
            if self._requested is None:
                selected = self._select_remaining(present, names)
                if has_header:
                    check_count(len(selected), f"{file} has", "; name those to load with --attributes")
                return names | {PREFIX + name: name for name in selected}
            attributes = find_named_columns(file, self._requested, present, has_header=has_header)
            self._unseen.difference_update(target.removeprefix(PREFIX) for target in attributes)
            return names | attributes

        return find_columns

    def select_nested(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Select from the attributes that a row of JSON has in one object; null is none."""
        names = attributes if self._requested is None else self._requested
        selected = {name: attributes[name] for name in names if attributes.get(name) is not None}
        self._unseen -= selected.keys()
        return selected

    def leave_out(self, column: str, reason: str) -> None:
        if len(self.left_out) < MAX_ATTRIBUTES:
            self.left_out.setdefault(column, reason)

    def format_lines(self) -> list[str]:
        """Format notes about columns that are not loaded."""
        lines = [f"column {format_names([column])} is not loaded: {why}" for column, why in self.left_out.items()]
        return [*lines, *(f"warning: no row has the attribute {name!r} of --attributes" for name in self.unseen)]

    def _select_remaining(self, present: Sequence[str], names: Mapping[str, str]) -> list[str]:
        taken_columns = set(names.values())
        selected = []
        for column in present:
            if column in taken_columns:
                continue
            if is_attribute_name(column):
                selected.append(column)
            else:
                self.leave_out(column, f"its name cannot be that of an attribute; use {NAME_RULE}")
        return selected


def find_live_columns(
    file: str, columns: Columns, present: Sequence[str], *, taken: Collection[str], has_header: bool
) -> dict[str, str]:
    """Map fields of the live catalogue to their columns: those that are named, or of the same name.

    BadInput if a header lacks a named one; a row of JSON may. A column of the same name is not used if it is `taken`.
    """
    names: dict[str, str] = {}
    for live_field in LIVE_FIELDS:
        requested = getattr(columns, live_field)
        if requested is not None:
            names |= find_named_column(live_field, file, requested, present, has_header=has_header)
        elif live_field in present and live_field not in taken:
            names[live_field] = live_field
    return names


def parse_item_columns(text: str | None) -> Columns:
    """Parse `--columns` of a file of items for the live catalogue; BadInput for roles that such a file has not."""
    return Columns() if text is None else parse_columns(text, LIVE_ITEM_FIELDS)


def is_attribute_name(name: str) -> bool:
    try:
        _name.validate_python(name)
    except ValidationError:
        return False
    return True


def check_count(count: int, subject: str, advice: str = "") -> None:
    """BadInput for more attributes than an item may have."""
    if count > MAX_ATTRIBUTES:
        raise BadInput(f"{subject} {count} attributes, an item has at most {MAX_ATTRIBUTES}{advice}")
