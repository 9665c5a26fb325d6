"""Reading of interaction logs and items files, shared by all commands that take a log."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from app.cli.event_log import is_event_log, read_own_log
from app.cli.log_options import LogOptions, LogReadingOptions
from models.data.attribute_names import Attributes
from models.data.bad_rows import ReadReport
from models.data.funnel import Funnel, add_drop, measure_funnel, select_items
from models.data.interactions import Interactions, ReadOptions, parse_columns, read_interactions
from models.data.items import COLUMN_ADVICE, match_items, read_items
from models.printable import to_printable

UNKNOWN_ITEMS = "items outside the artifact's catalogue"
MIN_ITEM_EVENTS_OPTION = "lower --min-item-events to keep more of them"


@dataclass(slots=True)
class Log:
    """Events of a log in file order, and the funnel that led to them."""

    events: pl.DataFrame
    report: ReadReport
    funnel: Funnel
    options: ReadOptions

    def report_dropped_items(self, item_ids: Collection[str], rule: str, option: str = "") -> None:
        """Note events of other items in the funnel and on standard error; the events stay, as possible targets."""
        self._add_drop(select_items(self.events, item_ids), rule, option)

    def select_types(self, includes: Callable[[str | None], bool], rule: str, option: str = "") -> None:
        """Drop events by their type."""
        if "type" not in self.events.columns:
            return
        excluded = [name for name in self.events["type"].unique().to_list() if not includes(name)]
        selected = self.events.filter(~pl.col("type").is_in(excluded).fill_null(False))
        self._add_drop(selected, rule, option)
        self.events = selected

    def _add_drop(self, selected: pl.DataFrame, rule: str, option: str) -> None:
        previous = len(self.funnel.format_drops())
        self.funnel = add_drop(self.funnel, self.events, selected, rule, option)
        _print_lines(self.funnel.format_drops()[previous:])

    def report_items(
        self, source: Path | str | None, items: pl.DataFrame | None, noun: str = "file", advice: str = COLUMN_ADVICE
    ) -> None:
        """State how many items of the log a source of items describes, with a warning if it has no texts of them."""
        if source is None or items is None:
            return
        matches = match_items(source, self.events["item_id"].unique(maintain_order=True).to_list(), items)
        warning = matches.describe(noun, advice)
        summary = f"{source} describes {matches.num_matches:,} of {matches.num_items:,} items of the log"
        _print_lines([summary if warning is None else f"warning: {warning}"])

    def to_json(self) -> dict[str, Any]:
        """Entries of the JSON result of every command that reads a log."""
        return {"bad_rows": self.report.bad_rows, "funnel": self.funnel.to_json()}


def build_read_options(arguments: LogReadingOptions) -> ReadOptions:
    """Build the options of reading; BadInput names an option with a wrong value."""
    return ReadOptions(
        columns=None if arguments.columns is None else parse_columns(arguments.columns),
        format=arguments.format,
        separator=arguments.separator,
        encoding=arguments.encoding,
        timezone=arguments.timezone,
        time_format=arguments.time_format,
        file_order=arguments.order == "file",
    )


def read_log(arguments: LogOptions) -> Log:
    """Read a log and report on standard error how it was read, and its bad rows."""
    options = build_read_options(arguments)
    if is_event_log(arguments.interactions):
        return report_log(read_own_log(), options)
    return report_log(read_interactions(arguments.interactions, options=options, strict=arguments.strict), options)


def report_log(log: Interactions, options: ReadOptions) -> Log:
    """Report on standard error how a log was read, and its bad rows."""
    funnel = measure_funnel(log.events, log.report)
    _print_lines([*funnel.format_lines(), *(f"  {row}" for row in log.report.examples)])
    return Log(log.events, log.report, funnel, options)


def read_item_file(path: Path | None, arguments: LogReadingOptions, attributes: Attributes = ()) -> pl.DataFrame | None:
    """Read an items file, with these attributes, and warn of texts among numbers; None without a file."""
    if path is None:
        return None
    return read_items(path, build_read_options(arguments), attributes, warn=lambda line: _print_lines([line]))


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(to_printable(line), file=sys.stderr)
