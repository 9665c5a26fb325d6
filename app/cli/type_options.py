"""Types of options that name event types. Texts stay as they are, so that errors and records show what was given."""

import math
from dataclasses import dataclass
from typing import Annotated

from app.cli.arguments import InvalidText
from app.cli.options import CommandOptions, Option
from app.cli.split_options import TRAINING
from app.feedback_kinds import normalize_type

MAX_TYPES, MAX_TYPE_CHARS = 100, 128
"""As in models/manifest.py, which loads more than --help needs; a test compares them."""
MAX_WEIGHT = 1_000.0
OTHER = "*"


def check_type(text: str) -> str:
    if not 1 <= len(text.strip()) <= MAX_TYPE_CHARS or "," in text:
        raise InvalidText(f"must be one event type of 1 to {MAX_TYPE_CHARS} characters (got {text!r})")
    return text


def check_types(text: str) -> str:
    """Check a comma-separated list of types."""
    names = [name for name in map(str.strip, text.split(",")) if name]
    if not 1 <= len(names) <= MAX_TYPES or any(len(name) > MAX_TYPE_CHARS for name in names):
        raise InvalidText(f"must list 1 to {MAX_TYPES} event types, separated by commas (got {text!r})")
    return text


def check_weights(text: str) -> str:
    parse_weights(text)
    return text


def parse_weights(text: str) -> dict[str, float]:
    """Parse `type=weight,…` to weights by normalized type."""
    weights: dict[str, float] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, number = entry.partition("=")
        weight = _parse_weight(number)
        if not 1 <= len(name.strip()) <= MAX_TYPE_CHARS or weight is None:
            raise InvalidText(f"must be type=weight,… with weights from 0 to {MAX_WEIGHT:,.0f} (got {entry!r})")
        if normalize_type(name) in weights:
            raise InvalidText(f"must name each type once (got {name.strip()!r} twice)")
        weights[normalize_type(name)] = weight
    if not any(weights.values()):
        raise InvalidText(f"must give at least one type a weight above 0 (got {text!r})")
    if len(weights) > MAX_TYPES:
        raise InvalidText(f"may name at most {MAX_TYPES} types (got {len(weights)})")
    return weights


def _parse_weight(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT else None


@dataclass(kw_only=True)
class TargetTypeOptions(CommandOptions):
    """The type of the held-out events, for commands that evaluate."""

    target_type: Annotated[
        str | None,
        Option(
            "hold out only events of this type: test on each user's last one",
            check_type,
            metavar="TYPE",
            default="any type, or that of the artifact",
            panel=TRAINING,
        ),
    ] = None


@dataclass(kw_only=True)
class TypeOptions(TargetTypeOptions):
    """Meaning of event types for a training."""

    event_types: Annotated[
        str | None,
        Option(
            "weights of event types as targets of the loss; 0 = not a target; * = all other types and events without a "
            "type, 0 unless it is named",
            check_weights,
            metavar="TYPE=WEIGHT,…",
            default="all weigh 1",
            panel=TRAINING,
        ),
    ] = None
    history_types: Annotated[
        str | None,
        Option(
            "event types that enter histories, as in the service; events of other types are left out",
            check_types,
            metavar="TYPE,…",
            default="NEXTUP_HISTORY_TYPES",
            panel=TRAINING,
        ),
    ] = None
