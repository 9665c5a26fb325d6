"""Model configuration from the options that select a model: preset, parts, options of parts, and sizes."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from app.commands.options.model import ModelOptions
from models.build import EMBEDDINGS, ENCODERS, HEADS
from models.config import ModelConfig, Part

PARTS = {"embedding": EMBEDDINGS, "encoder": ENCODERS, "head": HEADS}
SIZES = ("dim", "max_len", "dropout", "intervals", "periods", "request_times", "transitions")
PartOptions = dict[str, dict[str, Any]]
"""Constructor options by part; values are whatever JSON can hold."""


def build_model_config(arguments: ModelOptions, advised: ModelConfig) -> ModelConfig:
    """Override the advised configuration with the arguments; with other parts its preset is `custom`."""
    sizes: dict[str, Any] = {name: value for name in SIZES if (value := getattr(arguments, name)) is not None}
    parts = {kind: Part(name) for kind in PARTS if (name := getattr(arguments, kind)) is not None}
    for kind, options in parse_part_options(arguments.option).items():
        part = parts.get(kind, getattr(advised, kind))
        parts[kind] = dataclasses.replace(part, options={**part.options, **options})
    overrides: dict[str, Any] = {**sizes, **parts}
    return dataclasses.replace(advised, preset="custom" if parts else advised.preset, **overrides)


def parse_part_options(texts: Sequence[str]) -> PartOptions:
    """Parse `PART.NAME=VALUE` texts; a value is JSON if it parses as JSON, else the text itself.

    ValueError quotes the text that has another form.
    """
    parsed: PartOptions = {}
    for text in texts:
        key, has_value, value = text.partition("=")
        kind, _, name = key.partition(".")
        if not has_value or kind not in PARTS or not name.isidentifier():
            raise ValueError(
                f"--option must have the form PART.NAME=VALUE with PART one of {', '.join(PARTS)} (got {text!r})"
            )
        try:
            parsed.setdefault(kind, {})[name] = json.loads(value)
        except json.JSONDecodeError:
            parsed.setdefault(kind, {})[name] = value
    return parsed
