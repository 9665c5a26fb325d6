"""Read JSON lines, fast where polars reads every line as an object with plain values, else line by line."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput
from models.data.columns import ROLES, Columns, format_names
from models.data.content import Content, contains_bytes, read_lines, split_lines
from models.data.delimited import collect_rows
from models.data.fields import parse_json_id, replace_lone_surrogates
from models.data.json_grammar import PLAIN_OBJECT
from models.data.layouts import describe_rename
from models.data.text_facts import TextFacts, scan_text
from models.data.text_rows import RowFault, parse_json_lines

SAMPLE_LINES = 64
OPTIONAL = ("type", "event_id", "recommendation", "identity")
"""Roles that any line may have under their default names, not only the first ones."""
NUMBERS = ("timestamp", "offset_ms")
OBJECT_PATTERNS = (b"{", b'":', b'" ', b'"\t')
"""Begin of an object, end of a key, and blanks that may be between a key and its colon."""
DOUBTFUL_ID = r"^(?:true|false|-0.*|-?[0-9]+\.[0-9]+|-?[0-9]+(?:\.[0-9]+)?[eE].*|-?[0-9]{18,}|[\[{].*)$"
"""How polars writes an id that is neither a string nor an integer, or a number that it may not keep."""
DOUBTFUL_TIME = r"[eE\[{]|[0-9]{18}|\.[0-9]{10}"


def find_keys(file: str, columns: Columns, objects: Sequence[dict[str, Any]], *, needs_time: bool) -> dict[str, str]:
    """Return the key of each role; `objects` are those of `sample_objects`. BadInput if one is missing."""
    keys = list_keys(objects) if objects else list(columns.names)
    _check_nesting(file, objects, columns)
    hint = describe_rename(columns, keys, None, needs_time=needs_time)
    return columns.find(file, keys, needs_time=needs_time, hint=hint)


def read_json(content: Content, present: dict[str, str]) -> pl.DataFrame:
    """Return String columns under the names of ROLES, `line` and `fault`; `present` are those of `find_keys`."""
    facts = scan_text(content, OBJECT_PATTERNS)
    if facts.counts[1:] == (facts.lines * len(present), 0, 0) and not facts.has_escapes:
        # No other key can be in the text if every line has these, so that no search for the optional ones is needed.
        rows = read_json_fast(content, {ROLES[role]: name for role, name in present.items()}, facts)
        if rows is not None and not any(rows[ROLES[role]].null_count() for role in present):
            return rows
    optional = {role: ROLES[role] for role in OPTIONAL if contains_bytes(content, f'"{ROLES[role]}"'.encode())}
    names = {ROLES[role]: name for role, name in (optional | present).items()}
    rows = read_json_fast(content, names, facts)
    rows = read_json_by_line(content, names) if rows is None else rows
    absent = [ROLES[role] for role in optional if role not in present and rows[ROLES[role]].null_count() == len(rows)]
    return rows.drop(absent)


def sample_objects(file: str, content: Content) -> list[dict[str, Any]]:
    """The objects of the first lines; BadInput if the file is an array."""
    objects = [row for _, row in islice(parse_json_lines(read_lines(content)), SAMPLE_LINES) if isinstance(row, dict)]
    if not objects and next(read_lines(content)).lstrip().startswith("["):
        raise BadInput(f"{file}: the file is a JSON array; write one object per line: jq -c '.[]'")
    return objects


def list_keys(objects: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in objects for key in row))


def read_json_fast(content: Content, names: dict[str, str], facts: TextFacts | None = None) -> pl.DataFrame | None:
    """None unless every line is a plain object with ids that are surely strings or integers."""
    try:
        facts = facts or scan_text(content, OBJECT_PATTERNS)
        if not _is_flat(facts) and not split_lines(content).str.contains(PLAIN_OBJECT).all():
            return None
        frame = pl.read_ndjson(content, schema=dict.fromkeys(names.values(), pl.String))
    except (OSError, pl.exceptions.PolarsError):
        return None
    if frame.height != facts.lines:
        return None
    doubts = [
        pl.col(name).str.contains(DOUBTFUL_TIME if result in NUMBERS else DOUBTFUL_ID).any()
        for result, name in names.items()
    ]
    if frame.select(pl.any_horizontal(doubts)).item():
        return None
    lines = pl.int_range(1, 1 + frame.height, dtype=pl.Int64, eager=True).alias("line")
    columns = [frame[name].alias(result) for result, name in names.items()]
    return pl.DataFrame([*columns, lines]).with_columns(fault=pl.lit(None, pl.String))


def read_json_by_line(content: Content, names: dict[str, str]) -> pl.DataFrame:
    """Read any JSON lines row by row."""

    def parse_value(row: dict[str, Any], result: str, name: str) -> str | None:
        value = row.get(name)
        if result in NUMBERS:
            return None if value is None else replace_lone_surrogates(_format_number(value))
        return parse_json_id(value, result)

    def iter_rows() -> Iterator[tuple[str | int | None, ...]]:
        for line, row in parse_json_lines(read_lines(content)):
            if isinstance(row, RowFault):
                yield (*(None for _ in names), line, row.reason)
                continue
            try:
                yield (*(parse_value(row, result, name) for result, name in names.items()), line, None)
            except ValueError as error:
                yield (*(None for _ in names), line, str(error))

    return collect_rows(iter_rows(), list(names))


def _format_number(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _is_flat(facts: TextFacts) -> bool:
    """Whether the text has one object per line and no list or escape, without looking at its lines."""
    return facts.counts[0] == facts.lines and not facts.has_lists and not facts.has_escapes


def _check_nesting(file: str, objects: Sequence[dict[str, Any]], columns: Columns) -> None:
    """BadInput for objects that have no item themselves, but a list of events, or an object with the item."""
    for row in objects:
        for key, value in row.items():
            if columns.item not in row and isinstance(value, list) and value and isinstance(value[0], dict):
                others = [name for name in row if name != key]
                shared = f", each with the other fields of its object ({format_names(others)})" if others else ""
                raise BadInput(
                    f"{file}: {key!r} has nested events ({format_names(list(value[0]))}); write one event per "
                    f"line{shared}"
                )
            if columns.item not in row and isinstance(value, dict) and columns.item in value:
                raise BadInput(
                    f"{file}: {columns.item!r} is inside {key!r} ({format_names(list(value))}); write its fields at "
                    f"the top level: jq -c '.{key}'"
                )
