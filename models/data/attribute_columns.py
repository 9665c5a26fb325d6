"""Columns of an items file that become attributes: those that are named, or all that have no other role."""

from collections.abc import Callable, Mapping, Sequence

from models.data.attribute_names import Attributes, is_attribute_name
from models.data.bad_rows import BadInput
from models.data.cell_types import convert_cell, find_cell_types
from models.data.columns import LIVE_FIELDS, Columns, find_column
from models.data.item_attributes import MAX_TEXT_CHARS
from models.data.item_rows import Row, find_item_columns

PREFIX = "attributes."
"""In front of an attribute in a row, so that an attribute may have the name of another role."""
NESTED = "attributes"
"""The key under which a row of JSON may have all attributes, as an item of PUT /items has."""
MAX_COLUMNS = 64
"""Most columns of a file that are attributes without being named: the first ones."""


def make_attribute_finder(
    attributes: Attributes, *, has_header: bool
) -> Callable[[str, Columns, Sequence[str]], dict[str, str]]:
    """Make the function that maps targets to columns; BadInput for a named column that a header lacks."""

    def find_columns(file: str, columns: Columns, present: Sequence[str]) -> dict[str, str]:
        names = find_item_columns(file, columns, present, has_header=has_header)
        if attributes is None:
            taken = {*names.values(), *LIVE_FIELDS}
            selected = [name for name in present if name not in taken and is_attribute_name(name)][:MAX_COLUMNS]
            return names | {PREFIX + name: name for name in selected}
        hint = "; --attributes names columns of --items"
        return names | find_named_columns(file, attributes, present, has_header=has_header, hint=hint)

    return find_columns


def find_named_columns(
    file: str, names: Sequence[str], present: Sequence[str], *, has_header: bool, hint: str = ""
) -> dict[str, str]:
    """Map targets to the columns of named attributes; BadInput with `hint` for one that a header lacks.

    Only JSON has no header: a row may lack a key, or have the attributes in one object.
    """
    if has_header:
        return {PREFIX + name: find_column(file, name, present, hint=hint) for name in names}
    nested = [NESTED] if names else []
    return {PREFIX + name: name for name in [*names, *nested] if name in present}


def get_attributes(row: Row, attributes: Attributes) -> dict[str, object]:
    """Return the cells of a row that are attributes, by name."""
    cells = {target.removeprefix(PREFIX): cell for target, cell in row.items() if target.startswith(PREFIX)}
    nested = cells.pop(NESTED, None)
    if isinstance(nested, Mapping):
        names = filter(is_attribute_name, nested) if attributes is None else attributes
        cells = {name: nested[name] for name in names if name in nested} | cells
    return cells


def convert_cells(items: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """Convert cells of delimited text: a column is numbers or truth values if all its cells are."""
    types = find_cell_types(items)
    return [
        {
            name: convert_cell(cell, types.get(name, "text"))
            for name, cell in cells.items()
            if cell.strip() and len(cell) <= MAX_TEXT_CHARS
        }
        for cells in items
    ]


def check_seen(file: str, attributes: Attributes, items: Sequence[Mapping[str, object]]) -> None:
    """BadInput for a named attribute that no row has."""
    unseen = set() if attributes is None else set(attributes).difference(*items)
    if unseen:
        raise BadInput(f"{file}: no item has the attribute {min(unseen)!r} of --attributes; leave it out")
