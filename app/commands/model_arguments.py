"""Which model a command line means: a preset, other parts than the preset's, options of parts, and sizes."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from models.build import EMBEDDINGS, ENCODERS, HEADS
from models.config import ModelConfig, Part
from models.presets import PRESETS

PARTS = {"embedding": EMBEDDINGS, "encoder": ENCODERS, "head": HEADS}
SIZES = ("dim", "max_len", "dropout", "intervals")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("the model")
    model.add_argument("--preset", choices=list(PRESETS), default="blossom")
    for kind, known in PARTS.items():
        model.add_argument(f"--{kind}", choices=sorted(known), help=f"another {kind} than the preset's")
    model.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="PART.NAME=VALUE",
        help="of a part's constructor, such as encoder.selector=mean or embedding.splits=16; may be repeated",
    )
    model.add_argument("--dim", type=int, help="width of the vectors")
    model.add_argument("--max-len", type=int, help="newest items of a history that it looks at; by the log")
    model.add_argument("--dropout", type=float, help="by the log")
    model.add_argument(
        "--intervals", action=argparse.BooleanOptionalAction, default=None, help="read the time since the event before"
    )


def model_of(arguments: argparse.Namespace, advised: ModelConfig) -> ModelConfig:
    """The preset with the sizes that were advised, but for what was said. What is not the preset is called custom."""
    given: dict[str, Any] = {name: value for name in SIZES if (value := getattr(arguments, name)) is not None}
    parts: dict[str, Any] = {kind: Part(name) for kind in PARTS if (name := getattr(arguments, kind)) is not None}
    for kind, options in part_options(arguments.option).items():
        part = parts.get(kind, getattr(advised, kind))
        parts[kind] = dataclasses.replace(part, options={**part.options, **options})
    return dataclasses.replace(advised, preset="custom" if parts else advised.preset, **given, **parts)


def part_options(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`PART.NAME=VALUE` each; a value is JSON where it reads as JSON, else the text itself. ValueError by the text."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, is_given, value = text.partition("=")
        kind, _, name = place.partition(".")
        if not is_given or kind not in PARTS or not name.isidentifier():
            raise ValueError(f"--option is {text!r}; PART.NAME=VALUE is meant, PART one of {', '.join(PARTS)}")
        try:
            found.setdefault(kind, {})[name] = json.loads(value)
        except json.JSONDecodeError:
            found.setdefault(kind, {})[name] = value
    return found
