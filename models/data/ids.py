"""What may be the id of a user or an item: text of 1 to 128 characters, or an integer, which becomes its digits.

It knows no file format; U+FFFD in an id means that a decoder before us met bytes that were no text.
"""

import polars as pl

MAX_ID_CHARS = 128
REPLACEMENT = "\ufffd"


def can_be_id(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def id_reasons(name: str) -> pl.Expr:
    """What is wrong with each text of column `name`; null where nothing is."""
    x = pl.col(name)
    return pl.coalesce(
        pl.when(x.is_null() | (x == "")).then(pl.lit(f"no {name}")),
        pl.when(x.str.len_chars() > MAX_ID_CHARS).then(pl.lit(f"{name} is longer than {MAX_ID_CHARS} characters")),
        pl.when(x.str.contains(REPLACEMENT, literal=True)).then(pl.lit(f"{name} is no valid UTF-8")),
    )


def id_text(value: object, name: str) -> str | None:
    """A JSON value as the text of an id, None where it is missing; ValueError where it is something else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is the integer 1 in JSON
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} is neither a string nor an integer")
    return whole_text(str(value))


def whole_text(text: str) -> str:
    """The same text, with U+FFFD for halves of surrogate pairs: JSON can say them, UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
