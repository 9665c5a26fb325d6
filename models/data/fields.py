"""Valid ids and texts of log rows.

An id is text of 1 to 128 characters or a whole number, which is converted to its digits. A whole number may be written
as a float (`5.0`), as pandas does for a column with gaps: in JSON and Parquet if it is a number, in delimited text,
which has no types, always. U+FFFD in an id means that a decoder replaced invalid UTF-8.
"""

import polars as pl

MAX_ID_CHARS = 128
REPLACEMENT = "\ufffd"
MAX_EXACT_FLOAT = 2**53
"""Floats from here on do not hold every whole number."""
FLOAT_ID = r"^(-?[0-9]+)\.0$"


def is_id_type(dtype: pl.DataType) -> bool:
    return (
        dtype.is_integer()
        or is_fraction_type(dtype)
        or isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
    )


def is_fraction_type(dtype: pl.DataType) -> bool:
    """Whether values are numbers that may have a fraction, which an id has not."""
    return dtype.is_float() or dtype.is_decimal()


def convert_id_column(values: pl.Series) -> pl.Series:
    """Convert a typed column to String; see `find_number_id_faults` for numbers with a fraction."""
    if values.dtype.is_float():
        return convert_float_ids(values)
    text = values.cast(pl.String)
    return text.str.replace(r"\.0+$", "") if values.dtype.is_decimal() else text


def convert_ids(values: pl.Series) -> pl.Series:
    """Convert ids of delimited text, where `5.0` is the number 5."""
    return values.str.replace(FLOAT_ID, "$1") if values.str.ends_with(".0").any() else values


def convert_float_ids(values: pl.Series) -> pl.Series:
    """Convert floats to String; a value that is not a whole number keeps its fraction, and NaN becomes null."""
    numbers = values.cast(pl.Float64).fill_nan(None)
    is_whole = (numbers == numbers.floor()) & (numbers.abs() < MAX_EXACT_FLOAT)
    digits = numbers.cast(pl.Int64, strict=False).cast(pl.String)
    return digits.zip_with(is_whole.fill_null(False), numbers.cast(pl.String))


def find_number_id_faults(name: str) -> pl.Expr:
    """Expression for the fault of each id in a column of a type with fractions, after its conversion."""
    x = pl.col(name)
    is_whole = x.str.contains(r"^-?[0-9]+$")
    return pl.when(~is_whole).then(pl.concat_str(pl.lit(f"{name} '"), x, pl.lit("' is not a whole number")))


def has_sound_ids(values: pl.Series, *, is_ascii: bool = False) -> bool:
    """Whether all ids of a String column are certainly valid; cheaper than `find_id_faults`."""
    if values.is_empty() or values.null_count():
        return False
    sizes = values.str.len_bytes()
    shortest, longest, total = sizes.min(), sizes.max(), sizes.sum()
    if not shortest or not isinstance(longest, int) or longest > MAX_ID_CHARS:
        return False
    return is_ascii or total == values.str.len_chars().sum() or not values.str.contains(REPLACEMENT, literal=True).any()


def find_id_faults(name: str) -> pl.Expr:
    """Expression for the fault of each id in column `name`; null for valid ids."""
    x = pl.col(name)
    return pl.coalesce(
        pl.when(x.is_null() | (x == "")).then(pl.lit(f"no {name}")),
        find_text_faults(name),
    )


def find_text_faults(name: str) -> pl.Expr:
    """Expression for the fault of each optional text in column `name`; null for valid or missing ones."""
    x = pl.col(name)
    return pl.coalesce(
        pl.when(x.str.len_chars() > MAX_ID_CHARS).then(pl.lit(f"{name} is longer than {MAX_ID_CHARS} characters")),
        pl.when(x.str.contains(REPLACEMENT, literal=True)).then(
            pl.lit(f"{name} is not valid UTF-8; if the file has another encoding, pass --encoding")
        ),
    )


def parse_json_id(value: object, name: str) -> str | None:
    """Convert a JSON value to an id, None if missing; ValueError for other types."""
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_FLOAT:
        value = int(value)  # 1.0 is the integer 1 in JSON
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} is neither a string nor an integer")
    return replace_lone_surrogates(str(value))


def replace_lone_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD: JSON can contain them, UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
