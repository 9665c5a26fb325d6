"""Base of all answers, and lists whose entries have one of several models."""

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the service; fields that a newer service adds are ignored."""


def read_entries(answer: Answer, field: str, models: tuple[type[Answer], ...]) -> None:
    """Replace each entry of a list by the first of the models that has its fields; ValidationError if none has."""
    entries = [_read_entry(entry, models) for entry in getattr(answer, field)]
    msgspec.structs.force_setattr(answer, field, entries)


def _read_entry(entry: Any, models: tuple[type[Answer], ...]) -> Any:
    for model in models[:-1]:
        try:
            return entry if isinstance(entry, model) else msgspec.convert(entry, model)
        except msgspec.ValidationError:
            continue
    return entry if isinstance(entry, models) else msgspec.convert(entry, models[-1])
