"""`nextup inspect`: show how a log would be read, its funnel, a sample and suggested options, without training."""

import json
import shlex
from dataclasses import fields

from app.cli.event_log import EVENTS_SOURCE, is_event_log, read_own_log
from app.cli.log_files import build_read_options, read_item_file, report_log
from app.cli.log_options import LogReadingOptions
from app.commands.options.inspect import InspectOptions
from models.data.bad_rows import BadInput, MissingColumn
from models.data.columns import Columns
from models.data.event_types import count_types, describe_types
from models.data.inspection import (
    Attempt,
    read_with_suggestions,
    sample_events,
    sample_missing,
    suggest_training_options,
)
from models.data.read_options import ReadOptions
from models.manifest import MAX_TYPES
from models.printable import to_printable
from models.text_table import format_text_table


def run(arguments: InspectOptions) -> int:
    options = build_read_options(arguments)
    if is_event_log(arguments.interactions):
        attempt = Attempt(read_own_log(), options, "")
    else:
        try:
            attempt = read_with_suggestions(arguments.interactions, options, strict=arguments.strict)
        except MissingColumn as error:
            raise show_columns(error, arguments, options) from None
    if attempt.words:
        print(f"columns or times are in another form; read with {attempt.words}")
    log = report_log(attempt.log, attempt.options)
    log.report_items(arguments.items, read_item_file(arguments.items, arguments))
    head, rows = sample_events(log.events)
    print(f"first events:\n{format_text_table(head, rows)}")
    types = count_types(log.events)
    if types.keys() - {None}:
        print(to_printable(describe_types(log.events)))
    suggestions = suggest_training_options(log.events, log.funnel)
    for suggestion in suggestions:
        print(f"suggested: {suggestion.option}: {suggestion.reason}")
    words = [*list_reading_words(arguments), attempt.words, *(suggestion.option for suggestion in suggestions)]
    item_words = [f"--items {shlex.quote(str(arguments.items))}"] if arguments.items is not None else []
    paths = [EVENTS_SOURCE] if is_event_log(arguments.interactions) else map(str, arguments.interactions)
    sources = " ".join(shlex.quote(path) for path in paths)
    command = " ".join(word for word in ["nextup train", sources, *words, *item_words, "--out var/model"] if word)
    print(f"train with: {command}")
    result = {
        **log.to_json(),
        "types": [{"type": name, "events": count} for name, count in list(types.items())[:MAX_TYPES]],
        "reading_options": attempt.words,
        "suggestions": [{"option": each.option, "reason": each.reason} for each in suggestions],
        "train": command,
        "sample": [dict(zip(head, row, strict=True)) for row in rows],
    }
    print(json.dumps(result))
    return 0


def show_columns(error: MissingColumn, arguments: InspectOptions, options: ReadOptions) -> BadInput:
    """Show the columns of a log whose roles cannot be guessed; return the error that asks for their names."""
    samples = sample_missing(error, arguments.interactions, options)
    if samples is None:
        return error
    head, rows = samples.make_table()
    print(f"columns of {to_printable(error.file)}:\n{format_text_table(head, rows)}")
    advice = samples.format_advice(options.columns or Columns())
    return BadInput(f"{error.file}: no column {error.name!r}; name the columns with {advice}")


def list_reading_words(arguments: InspectOptions) -> list[str]:
    """The options of reading that differ from their defaults, as words of a command line."""
    words = []
    for option in fields(LogReadingOptions):
        value = getattr(arguments, option.name)
        if option.init and value != option.default and isinstance(value, str):
            words.append(f"--{option.name.replace('_', '-')} {shlex.quote(value)}")
    return words
