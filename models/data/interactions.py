"""Read interaction logs into events: `user_id`, `item_id` and `timestamp` (milliseconds) in file order.

Bad rows are skipped, counted and reported with file, line and reason, or stop the read. Equal events are counted once
(`identity.py`). The columns `type`, `event_id`, `recommendation_id` and `event_identity` are read where files have
them.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from models.data.bad_rows import MAX_EXAMPLES, BadInput, BadRow, ReadReport
from models.data.columns import ROLES, Columns, parse_columns
from models.data.content import open_content
from models.data.delimited import read_delimited
from models.data.fields import convert_id_column, convert_ids, find_number_id_faults, is_fraction_type
from models.data.file_columns import (
    check_header,
    describe_unreadable_parquet,
    find_json_columns,
    find_parquet_columns,
    find_text_columns,
)
from models.data.formats import DataFile, find_files
from models.data.identity import drop_duplicates
from models.data.json_rows import read_json, sample_objects
from models.data.read_options import ReadOptions
from models.data.row_checks import check_rows
from models.data.text_facts import scan_text
from models.data.time_formats import UnknownTimes, describe_time_formats, find_time_formats

__all__ = [
    "BadInput",
    "BadRow",
    "Columns",
    "Interactions",
    "ReadOptions",
    "ReadReport",
    "parse_columns",
    "read_interactions",
]

MAX_SHOWN_FILES = 3


@dataclass(frozen=True, slots=True)
class Interactions:
    """`events`: `user_id` String, `item_id` String, `timestamp` Int64 (milliseconds), in file order.

    `type`, `event_id`, `recommendation_id` and `event_identity` are String, and null where a file lacks them.
    """

    events: pl.DataFrame
    report: ReadReport


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of a file before their values are checked.

    `frame` has `user_id` and `item_id` String, `timestamp` in its original type, `line` (from 1, in Parquet the row
    number) and `fault` (not null for a row that cannot be parsed). `options` are those of the file's format. `is_ascii`
    is True if no id can have a character that replaces an invalid one.
    """

    frame: pl.DataFrame
    options: ReadOptions
    notes: tuple[str, ...] = ()
    is_ascii: bool = False


def read_interactions(
    sources: Sequence[Path | str],
    *,
    columns: Columns | None = None,
    strict: bool = False,
    options: ReadOptions | None = None,
    now_ms: int | None = None,
) -> Interactions:
    """Read the events of all files that `sources` name (see `find_files`), file by file.

    `columns` are a shorthand for `options`. BadInput for an unreadable file, if no row is valid, and with `strict` at
    the first bad row. Times far after `now_ms`, by default the clock, are bad.
    """
    options = options or ReadOptions(columns)
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    files = find_files(sources)
    for file in files[1:]:  # the first file is about to be read
        check_header(file, options)
    parts: list[pl.DataFrame] = []
    examples: list[BadRow] = []
    reasons: Counter[str] = Counter()
    notes: dict[str, None] = {}
    num_rows = 0
    first_times = pl.Series(dtype=pl.String)
    for file in files:
        raw = read_rows(file, options)
        first_times = raw.frame["timestamp"] if "timestamp" in raw.frame.columns and not parts else first_times
        checked = check_rows(
            str(file), raw.frame, raw.options, first_rank=num_rows, now_ms=now_ms, is_ascii=raw.is_ascii
        )
        examples.extend(
            BadRow(str(file), line, reason) for line, reason in checked.list_examples(MAX_EXAMPLES - len(examples))
        )
        if strict and examples:
            raise BadInput(str(examples[0]))
        reasons.update(checked.count_reasons())
        notes |= dict.fromkeys((*raw.notes, *checked.notes))
        parts.append(checked.events)
        num_rows += raw.frame.height
    num_valid = sum(part.height for part in parts)
    report = ReadReport(
        len(files), num_rows, num_rows - num_valid, tuple(examples), dict(reasons.most_common()), notes=tuple(notes)
    )
    if not num_valid:
        formats = () if options.time_format is not None or options.file_order else find_time_formats(first_times)
        raise _explain_no_valid_row(files, report, formats)
    events = pl.concat(parts, how="diagonal") if len(parts) > 1 else parts[0]
    distinct = drop_duplicates(events)
    return Interactions(distinct, replace(report, duplicates=events.height - distinct.height))


def _explain_no_valid_row(files: Sequence[DataFile], report: ReadReport, formats: tuple[str, ...]) -> BadInput:
    """Build the error; `formats` are those that fit the times of the log."""
    names = ", ".join(map(str, files[:MAX_SHOWN_FILES])) + (", …" if len(files) > MAX_SHOWN_FILES else "")
    examples = f": {report.format_examples()}" if report.examples else ""
    problem = f"no valid row among {report.rows:,}" if report.rows else "the log has no rows; check its export"
    text = f"{names or 'no input files'}: {problem}{examples}{describe_time_formats(formats)}"
    return UnknownTimes(text, formats) if formats else BadInput(text)


def read_rows(file: DataFile, options: ReadOptions) -> RawRows:
    """Read a file without checking values; BadInput if it cannot be read."""
    if file.format == "parquet":
        return _read_parquet(file, options)
    content = open_content(file, options.encoding)
    if file.format == "json":
        options, names = find_json_columns(file, sample_objects(str(file), content), options)
        return RawRows(read_json(content, names), options)
    layout, options, names = find_text_columns(file, content, options)
    facts = scan_text(content)
    frame = read_delimited(content, layout, {ROLES[role]: name for role, name in names.items()}, facts)
    if facts.has_points:  # only then an id can be a number with a fraction
        frame = frame.with_columns(convert_ids(frame[name]).alias(name) for name in ("user_id", "item_id"))
    return RawRows(frame, options, layout.describe(file), facts.is_ascii)


def _read_parquet(file: DataFile, options: ReadOptions) -> RawRows:
    scan, options, names = find_parquet_columns(file, options)
    try:
        frame = scan.select([pl.col(name).alias(ROLES[role]) for role, name in names.items()]).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise describe_unreadable_parquet(file, error) from error
    faults = [find_number_id_faults(name) for name in ("user_id", "item_id") if is_fraction_type(frame[name].dtype)]
    texts = [name for name in frame.columns if name not in ("timestamp", "offset_ms")]
    rows = frame.with_columns(convert_id_column(frame[name]).alias(name) for name in texts)
    lines = pl.int_range(1, 1 + frame.height, dtype=pl.Int64, eager=True).alias("line")
    fault = pl.coalesce(*faults) if faults else pl.lit(None, pl.String)
    return RawRows(rows.with_columns(lines, fault=fault), options)
