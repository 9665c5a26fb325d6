"""Options that select a model: preset, parts, options of parts, and sizes."""

from dataclasses import dataclass, field
from typing import Annotated

from app.cli.arguments import float_in, int_in, positive_int
from app.cli.options import CommandOptions, Option
from models.config import MAX_PERIODS, MAX_TRANSITIONS
from models.presets import PRESETS

PRESET_NAMES = tuple(PRESETS)
EMBEDDING_NAMES = ("blocks", "codes", "compositional", "full")
ENCODER_NAMES = ("blossom", "cone", "dilated_convolution", "none", "self_attention", "twin_attention")
HEAD_NAMES = ("adaptive", "dense", "popularity", "tied")
"""Keys of the registries in models/build.py, which loads torch; a test compares them."""
MODEL = "Model"


@dataclass(kw_only=True)
class ModelOptions(CommandOptions):
    """The model to train."""

    preset: Annotated[str, Option("parts and sizes", choices=PRESET_NAMES, panel=MODEL)] = "blossom"
    embedding: Annotated[
        str | None, Option("replaces the embedding of the preset", choices=EMBEDDING_NAMES, panel=MODEL)
    ] = None
    encoder: Annotated[str | None, Option("replaces the encoder of the preset", choices=ENCODER_NAMES, panel=MODEL)] = (
        None
    )
    head: Annotated[str | None, Option("replaces the head of the preset", choices=HEAD_NAMES, panel=MODEL)] = None
    option: Annotated[
        list[str],
        Option(
            "constructor option of a part, such as encoder.selector=mean or embedding.splits=16; may be repeated",
            metavar="PART.NAME=VALUE",
            repeat=True,
            panel=MODEL,
        ),
    ] = field(default_factory=list)
    dim: Annotated[
        int | None, Option("width of the vectors", positive_int, metavar="N", default="by the preset", panel=MODEL)
    ] = None
    max_len: Annotated[
        int | None,
        Option("newest items of a history that are used", positive_int, metavar="N", default="by the log", panel=MODEL),
    ] = None
    dropout: Annotated[
        float | None,
        Option(
            "dropout rate, 0 to below 1",
            float_in(0, 1, high_open=True),
            metavar="P",
            default="by the log",
            panel=MODEL,
        ),
    ] = None
    intervals: Annotated[
        bool | None,
        Option(
            "use the time since the previous event",
            names="--intervals/--no-intervals",
            default="by the preset",
            panel=MODEL,
        ),
    ] = None
    periods: Annotated[
        int | None,
        Option(
            "periods of the log with a vector each, as popularity drifts; 0 = none",
            int_in(0, MAX_PERIODS),
            metavar="N",
            default="by the preset",
            panel=MODEL,
        ),
    ] = None
    request_times: Annotated[
        bool | None,
        Option(
            "use the time until the next event, in the service until the request",
            names="--request-times/--no-request-times",
            default="by the preset",
            panel=MODEL,
        ),
    ] = None
    transitions: Annotated[
        int | None,
        Option(
            "strongest followers of each item to mix with the model; 0 = none",
            int_in(0, MAX_TRANSITIONS),
            metavar="N",
            default="by the preset",
            panel=MODEL,
        ),
    ] = None
