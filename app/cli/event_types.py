"""Event types of a training, an evaluation or an extension: options and manifest applied to a log."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from app.cli.log_files import Log
from app.cli.type_options import MAX_TYPE_CHARS, MAX_TYPES, TypeOptions, parse_weights
from app.environment import load_settings
from app.feedback_kinds import normalize_type
from app.history_types import MANIFEST_ENTRY, SETTING, HistoryTypes
from models.data.event_types import EventTypes, count_types, describe_types
from models.printable import to_printable

TRAINED_RULE = "types that did not enter the histories of the training"
ADD_TYPES = "set it to the types that are choices of an item"


@dataclass(frozen=True, slots=True)
class TypeRules:
    """Rules of a training; `entered` are the types in its histories, empty for a log without types."""

    history: HistoryTypes
    events: EventTypes
    entered: tuple[str, ...]
    is_typed: bool

    def to_json(self) -> dict[str, Any]:
        """The entry of the manifest (`TypeRecord`)."""
        return {
            "history": self.history.names if self.is_typed else None,
            "entered": list(self.entered),
            "weights": None if self.events.weights is None else dict(self.events.weights),
            "target": self.events.target,
        }


def apply_type_options(log: Log, arguments: TypeOptions) -> TypeRules:
    """Leave out events that enter no history, and add the columns of weights and targets.

    ValueError for options that contradict each other or do not suit the log.
    """
    text, rule = arguments.history_types, f"--history-types {arguments.history_types}"
    if text is None:
        text, rule = load_settings({"history_types"}).history_types, SETTING
    history, events = HistoryTypes(text), _parse_rules(arguments)
    _check_contradictions(history, events, rule)
    is_typed = any(name is not None for name in count_types(log.events))
    typed_options = [
        name for name in ("event_types", "history_types", "target_type") if getattr(arguments, name) is not None
    ]
    if typed_options and not is_typed:
        option = f"--{typed_options[0].replace('_', '-')}"
        raise ValueError(f"{option} needs events with types, and the log has none; name their column: --columns type=…")
    _select(log, history, rule, ADD_TYPES if rule == SETTING else "")
    for warning in events.check(log.events) if is_typed else ():
        print(f"warning: {to_printable(warning)}", file=sys.stderr)
    entered = [name for name in count_types(log.events) if name is not None and len(name) <= MAX_TYPE_CHARS]
    log.events = events.add_columns(log.events) if is_typed else log.events
    return TypeRules(history, events, tuple(sorted(entered[:MAX_TYPES])), is_typed)


def apply_recorded_types(log: Log, manifest: Mapping[str, Any], *, target_type: str | None = None) -> None:
    """Treat the types of a log as the training of an artifact did; only events of `target_type` are held out."""
    record: Mapping[str, Any] = manifest.get(MANIFEST_ENTRY) or {}
    if record.get("history") is not None:
        _select(log, HistoryTypes(",".join(record["history"])), TRAINED_RULE, "")
    events = EventTypes(record.get("weights"), None if target_type is None else normalize_type(target_type))
    if events != EventTypes():
        if not any(name is not None for name in count_types(log.events)):
            raise ValueError(
                "the artifact was trained with event types, and the log has none; name their column: --columns type=…"
            )
        _normalize(log)
        EventTypes(target=events.target).check(log.events)
        log.events = events.add_columns(log.events)


def choose_target_type(target_type: str | None, manifest: Mapping[str, Any]) -> str | None:
    """Return the type that is held out in an evaluation, by default that of the training.

    ValueError if the training part may have the events of another type that would be held out.
    """
    trained: str | None = (manifest.get(MANIFEST_ENTRY) or {}).get("target")
    if target_type is None or normalize_type(target_type) == trained:
        return trained
    if manifest.get("split", {}).get("name") == "time":
        return target_type
    held_out = "the last events of any type" if trained is None else f"events of the type {trained!r}"
    raise ValueError(
        f"--target-type {target_type}: the artifact was trained with {held_out} held out, so it may have seen these "
        "targets; train it with the same --target-type, or with --split time"
    )


def _parse_rules(arguments: TypeOptions) -> EventTypes:
    weights = None if arguments.event_types is None else parse_weights(arguments.event_types)
    return EventTypes(weights, None if arguments.target_type is None else normalize_type(arguments.target_type))


def _check_contradictions(history: HistoryTypes, events: EventTypes, rule: str) -> None:
    """ValueError for a target that enters no history: the service does not store such events either."""
    targets = [("--event-types", name) for name, weight in (events.weights or {}).items() if weight > 0 and name != "*"]
    targets += [("--target-type", events.target)] if events.target is not None else []
    for option, name in targets:
        if not history.includes(name):
            raise ValueError(
                f"{option} {name}: events of this type enter no history by {rule}, so they cannot be targets; "
                f"add it to the types of --history-types or {SETTING}"
            )


def _select(log: Log, history: HistoryTypes, rule: str, option: str) -> None:
    """Drop events that enter no history; ValueError if none remains."""
    types = describe_types(log.events)
    log.select_types(history.includes, rule, option)
    if log.events.is_empty():
        raise ValueError(to_printable(f"no event of the log enters a history by {rule}; {types}"))
    _normalize(log)


def _normalize(log: Log) -> None:
    normalized = {name: normalize_type(name) for name in count_types(log.events) if name is not None}
    if any(name != changed for name, changed in normalized.items()):
        log.events = log.events.with_columns(
            pl.col("type").replace_strict(normalized, default=None, return_dtype=pl.String)
        )
