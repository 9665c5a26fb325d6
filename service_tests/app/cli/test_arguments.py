"""Types of command-line options: accepted values, and errors that state option, bounds and value."""

from collections.abc import Callable
from typing import Any

import pytest

from app.cli.arguments import (
    count,
    count_in,
    csv_counts,
    csv_ints,
    csv_of,
    float_in,
    fraction,
    int_in,
    name_in,
    parse_count,
    positive_float,
    positive_int,
)
from app.cli.options import Option, Parameter
from app.cli.parser import InvalidValue, bind_parser


def parse_option(option_type: Callable[[str], Any], text: str) -> Any:
    parse = bind_parser(Parameter("size", Option("a size", option_type), is_flag=False, required=True, default=None))
    return parse(text)


def test_counts_multiply_their_unit() -> None:
    assert [parse_count(text) for text in ("10M", "1k", "2.5m", " 1500 ", "3b")] == [
        10_000_000,
        1000,
        2_500_000,
        1500,
        3_000_000_000,
    ]


@pytest.mark.parametrize("text", ["", "k", "10g", "1e400", "nan", "ten"])
def test_counts_that_are_not_numbers_raise(text: str) -> None:
    with pytest.raises(ValueError):
        parse_count(text)
    with pytest.raises(InvalidValue, match=r"--size must be a count such as 1500, 10k or 2\.5m"):
        parse_option(count, text)


@pytest.mark.parametrize(
    ("option_type", "text", "value"),
    [
        (int_in(0, 10), "10", 10),
        (positive_int, "1", 1),
        (count_in(1, 1000), "1k", 1000),
        (float_in(0, 1, high_open=True), "0", 0.0),
        (fraction, "1", 1.0),
        (csv_ints, "1, 32", [1, 32]),
        (csv_counts, "10k,60", [10_000, 60]),
        (csv_of(name_in({"a": 1, "b": 2})), "b,a", ["b", "a"]),
    ],
)
def test_values_within_bounds_are_accepted(option_type: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse_option(option_type, text) == value


@pytest.mark.parametrize(
    ("option_type", "text", "message"),
    [
        (int_in(0, 1_000_000), "-1", "--size must be between 0 and 1,000,000 (got -1)"),
        (positive_int, "0", "--size must be at least 1 (got 0)"),
        (positive_int, "1.5", "--size must be a whole number (got '1.5')"),
        (count_in(1, 100), "1k", "--size must be between 1 and 100 (got 1,000)"),
        (positive_float, "0", "--size must be above 0 (got 0)"),
        (positive_float, "nan", "--size must be a finite number (got 'nan')"),
        (positive_float, "fast", "--size must be a finite number (got 'fast')"),
        (float_in(0, 1, high_open=True), "1", "--size must be at least 0 and below 1 (got 1)"),
        (float_in(0, 1e6, low_open=True), "0", "--size must be above 0 and at most 1,000,000 (got 0)"),
        (fraction, "1.5", "--size must be between 0 and 1 (got 1.5)"),
        (csv_ints, "8,0", "--size takes values separated by commas, and each must be at least 1 (got 0)"),
        (csv_counts, "10k,", "--size takes values separated by commas, and each must be a count such as"),
        (name_in(["a", "b"]), "c", "--size must be one of a, b (got 'c')"),
    ],
)
def test_error_states_option_bounds_and_value(option_type: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        parse_option(option_type, text)
    assert str(raised.value).startswith(message)
