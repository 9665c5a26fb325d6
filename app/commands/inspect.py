"""`nextup inspect`: show how a log would be read, its funnel, a sample and suggested options, without training."""

import json
import shlex
from dataclasses import fields

from app.cli.log_files import build_read_options, read_item_file, report_log
from app.cli.log_options import LogReadingOptions
from app.commands.options.inspect import InspectOptions
from models.data.inspection import read_with_suggestions, sample_events, suggest_training_options
from models.text_table import format_text_table


def run(arguments: InspectOptions) -> int:
    options = build_read_options(arguments)
    attempt = read_with_suggestions(arguments.interactions, options, strict=arguments.strict)
    if attempt.words:
        print(f"the columns have other names; read with {attempt.words}")
    log = report_log(attempt.log, attempt.options)
    log.report_items(arguments.items, read_item_file(arguments.items, arguments))
    head, rows = sample_events(log.events)
    print(f"first events:\n{format_text_table(head, rows)}")
    suggestions = suggest_training_options(log.events, log.funnel)
    for suggestion in suggestions:
        print(f"suggested: {suggestion.option}: {suggestion.reason}")
    words = [*list_reading_words(arguments), attempt.words, *(suggestion.option for suggestion in suggestions)]
    item_words = [f"--items {shlex.quote(str(arguments.items))}"] if arguments.items is not None else []
    sources = " ".join(shlex.quote(str(source)) for source in arguments.interactions)
    command = " ".join(word for word in ["nextup train", sources, *words, *item_words, "--out var/model"] if word)
    print(f"train with: {command}")
    result = {
        **log.to_json(),
        "reading_options": attempt.words,
        "suggestions": [{"option": each.option, "reason": each.reason} for each in suggestions],
        "train": command,
        "sample": [dict(zip(head, row, strict=True)) for row in rows],
    }
    print(json.dumps(result))
    return 0


def list_reading_words(arguments: InspectOptions) -> list[str]:
    """The options of reading that differ from their defaults, as words of a command line."""
    words = []
    for option in fields(LogReadingOptions):
        value = getattr(arguments, option.name)
        if option.init and value != option.default and isinstance(value, str):
            words.append(f"--{option.name} {shlex.quote(value)}")
    return words
