"""Command-line options that select a model: preset, parts, options of parts, and sizes."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from app.cli.arguments import float_in, int_in, positive_int
from models.build import EMBEDDINGS, ENCODERS, HEADS
from models.config import MAX_TRANSITIONS, ModelConfig, Part
from models.presets import PRESETS

PARTS = {"embedding": EMBEDDINGS, "encoder": ENCODERS, "head": HEADS}
SIZES = ("dim", "max_len", "dropout", "intervals", "transitions")
PartOptions = dict[str, dict[str, Any]]
"""Constructor options by part; values are whatever JSON can hold."""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument(
        "--preset", choices=list(PRESETS), default="blossom", help="parts and sizes (default: %(default)s)"
    )
    for kind, classes in PARTS.items():
        model.add_argument(f"--{kind}", choices=sorted(classes), help=f"replaces the {kind} of the preset")
    model.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="PART.NAME=VALUE",
        help="constructor option of a part, such as encoder.selector=mean or embedding.splits=16; may be repeated",
    )
    model.add_argument("--dim", type=positive_int, metavar="N", help="width of the vectors (default: by the preset)")
    model.add_argument(
        "--max-len",
        type=positive_int,
        metavar="N",
        help="newest items of a history that are used (default: by the log)",
    )
    model.add_argument(
        "--dropout",
        type=float_in(0, 1, high_open=True),
        metavar="P",
        help="dropout rate, 0 to below 1 (default: by the log)",
    )
    model.add_argument(
        "--intervals",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="use the time since the previous event (default: by the preset)",
    )
    model.add_argument(
        "--transitions",
        type=int_in(0, MAX_TRANSITIONS),
        metavar="N",
        help="strongest followers of each item to mix with the model; 0 = none (default: by the preset)",
    )


def build_model_config(arguments: argparse.Namespace, advised: ModelConfig) -> ModelConfig:
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
