"""Look at a log without training: the options that read it, a sample, and options that suit it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from models.data.bad_rows import BadInput, MissingColumn
from models.data.column_samples import ColumnSamples, sample_columns
from models.data.columns import REQUIRED, Columns, format_option
from models.data.dataset import MIN_ITEM_EVENTS, choose_min_item_events
from models.data.formats import DataFile, find_files
from models.data.funnel import LARGE_SHARE, Funnel
from models.data.held_out import HELD_OUT_EVENTS
from models.data.interactions import Interactions, read_interactions
from models.data.layouts import find_time_columns, suggest_numbers
from models.data.public_formats import suggest_format
from models.data.read_options import ReadOptions
from models.data.time_formats import OPTION, UnknownTimes
from models.data.time_split import format_moment
from models.times import FIRST_SECOND

SAMPLE_EVENTS = 5
REPEAT_SHARE = 0.05
"""Share of repeats from which an evaluation should not filter items that the user had."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log that was read, the options that read it, and the words for them that a command line needs in addition."""

    log: Interactions
    options: ReadOptions
    words: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An option of `nextup train` that suits the log, and why."""

    option: str
    reason: str


def read_with_suggestions(sources: Sequence[Path], options: ReadOptions, *, strict: bool = False) -> Attempt:
    """Read a log; if its columns have other names, with the names that they probably have.

    BadInput, that of the first try, if no suggestion helps.
    """
    try:
        return _attempt(sources, options, "", strict=strict)
    except BadInput as error:
        if options.columns is not None or options.format is not None:
            raise
        for changed, words in _list_attempts(find_files(sources), options):
            try:
                return _attempt(sources, changed, words, strict=strict)
            except BadInput as inner:
                if isinstance(inner, UnknownTimes):  # the columns exist, and the order of day and month is open
                    raise BadInput(f"{inner} in addition to {words}") from None
        raise error from None


def _attempt(sources: Sequence[Path], options: ReadOptions, words: str, *, strict: bool) -> Attempt:
    """Read a log, if necessary with the only format that fits its times."""
    try:
        return Attempt(read_interactions(sources, options=options, strict=strict), options, words)
    except UnknownTimes as error:
        if len(error.formats) != 1:
            raise
        changed = replace(options, time_format=error.formats[0])
        words = f"{words} {OPTION} '{error.formats[0]}'".strip()
        return Attempt(read_interactions(sources, options=changed, strict=strict), changed, words)


def sample_missing(error: MissingColumn, sources: Sequence[Path], options: ReadOptions) -> ColumnSamples | None:
    """Sample the columns of the file in which one is missing; None if it cannot be read."""
    try:
        file = next((file for file in find_files(sources) if str(file) == error.file), None)
        return None if file is None else sample_columns(file, options)
    except BadInput:
        return None


def sample_events(events: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of the first events."""
    names = [name for name in events.columns if name != "event_identity"]
    rows = [
        [_format_time(value) if name == "timestamp" else str(value or "") for name, value in row.items()]
        for row in events.head(SAMPLE_EVENTS).select(names).iter_rows(named=True)
    ]
    return names, rows


def suggest_training_options(events: pl.DataFrame, funnel: Funnel) -> list[Suggestion]:
    """Suggest options of `nextup train` by the statistics of a log."""
    lengths = events.group_by("user_id").len()["len"]
    num_testable = int((lengths > HELD_OUT_EVENTS).sum())
    suggestions = []
    if num_testable == 0:
        reason = "no user has three events, so nothing can be evaluated"
        suggestions.append(Suggestion("--preset popular", reason))
    if funnel.repeats > REPEAT_SHARE * funnel.events:
        reason = f"{funnel.repeats / funnel.events:.0%} of events repeat an item that the user had"
        suggestions.append(Suggestion("--keep-seen", reason))
    least = choose_min_item_events(events.height)
    rare = int((events.group_by("item_id").len().filter(pl.col("len") < least)["len"]).sum())
    if rare > LARGE_SHARE * events.height:
        reason = f"items with fewer than {MIN_ITEM_EVENTS} events have {rare / events.height:.0%} of all events"
        suggestions.append(Suggestion("--min-item-events 1", reason))
    return suggestions


def _list_attempts(files: Sequence[DataFile], options: ReadOptions) -> list[tuple[ReadOptions, str]]:
    if not files:
        return []
    try:
        samples = sample_columns(files[0], options)
    except BadInput:
        return []
    header, separator = samples.names, samples.separator
    attempts: list[tuple[ReadOptions, str]] = []
    if (name := suggest_format(header, separator, find_time_columns(header))) is not None:
        attempts.append((replace(options, format=name), f"--format {name}"))
    names = samples.suggest_roles()
    if {"user", "item"} <= names.keys():
        columns = {role: names[role] for role in (*REQUIRED, "type", "event_id") if role in names}
        has_time = "time" in names
        words = format_option(columns) + ("" if has_time else " --order file")
        attempts.append((replace(options, columns=Columns(**columns), file_order=not has_time), words))
    if separator is not None and (numbers := suggest_numbers(header)):
        attempts.append((replace(options, columns=Columns(**numbers)), format_option(numbers)))
    return attempts


def _format_time(timestamp_ms: int) -> str:
    return format_moment(timestamp_ms) if timestamp_ms >= 1000 * FIRST_SECOND else f"{timestamp_ms / 1000:g}"
