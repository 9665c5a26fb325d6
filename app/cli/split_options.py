"""Options of the split into training part and held-out events, shared by commands that evaluate."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app.cli.arguments import InvalidText
from app.cli.options import CommandOptions, Option

Split = Literal["leave-one-out", "time"]
SPLITS: tuple[Split, ...] = ("leave-one-out", "time")
"""As in models/data/time_split.py, which loads torch; a test compares them."""
SPLIT_HELP = (
    "leave-one-out: test on the last event of each user; time: train before a moment and test on each user's first "
    "event after it"
)
TRAINING = "Training"


def parse_split_moment(text: str) -> int:
    from models.data.time_split import parse_moment  # polars and torch, which --help does not need

    try:
        return parse_moment(text)
    except ValueError as error:
        raise InvalidText(f"must be Unix seconds or RFC 3339 (got {text!r})") from error


@dataclass(kw_only=True)
class SplitOptions(CommandOptions):
    """The split, by default that of the artifact."""

    split: Annotated[Split | None, Option(SPLIT_HELP, default="that of the artifact", panel=TRAINING)] = None
    split_at: Annotated[
        int | None,
        Option(
            "moment of --split time, Unix seconds or RFC 3339",
            parse_split_moment,
            metavar="TIME",
            default="the last tenth of events is after it",
            panel=TRAINING,
        ),
    ] = None
