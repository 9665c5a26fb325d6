"""Attributes of items as rows of (name, text, number), from which a training makes features.

Booleans are texts. Times are left out: a new item is of another time than those of the training.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import polars as pl

from models.catalogue.attribute_times import parse_time
from models.catalogue.attributes import AttributeRow
from models.data.fields import replace_lone_surrogates

ATTRIBUTES = "attributes"
"""Optional column of items."""
ATTRIBUTES_TYPE = pl.List(pl.Struct({"name": pl.String, "text": pl.String, "number": pl.Float64}))
MAX_TEXT_CHARS = 256
"""Longer texts describe one item rather than a kind of items."""
MAX_NUMBER = 1e300
MAX_TEXTS = 32
"""Most texts of a list."""
TRUTH_TEXTS = {True: "true", False: "false"}


def make_attribute_rows(attributes: Mapping[str, object]) -> list[AttributeRow]:
    """List the values of an item; those of other types, empty and long ones and times are omitted."""
    rows: list[AttributeRow] = []
    for name, value in attributes.items():
        if isinstance(value, bool):
            rows.append({"name": name, "text": TRUTH_TEXTS[value], "number": None})
        elif isinstance(value, int | float | Decimal):
            if -MAX_NUMBER < value < MAX_NUMBER:  # neither NaN nor infinite
                rows.append({"name": name, "text": None, "number": float(value)})
        elif isinstance(value, str):
            rows += [] if parse_time(value) is not None else _make_text_rows(name, [value])
        elif isinstance(value, list | tuple):
            rows += _make_text_rows(name, value[:MAX_TEXTS])
    return rows


def list_names(items: pl.DataFrame) -> list[str]:
    """List the names of attributes that items have."""
    if ATTRIBUTES not in items.columns:
        return []
    return items[ATTRIBUTES].explode().drop_nulls().struct.field("name").unique().sort().to_list()


def _make_text_rows(name: str, texts: Iterable[object]) -> list[AttributeRow]:
    """Make rows of texts, and of whole numbers in lists, which are codes."""
    plain = [str(text) for text in texts if isinstance(text, str | int) and not isinstance(text, bool)]
    kept = [text for text in map(replace_lone_surrogates, plain) if text.strip() and len(text) <= MAX_TEXT_CHARS]
    return [{"name": name, "text": text, "number": None} for text in dict.fromkeys(kept)]
