"""The split into training part and held-out events, shared by commands that evaluate."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from app.cli.split_options import SplitOptions
from models.data.dataset import Dataset
from models.data.time_split import find_split_moment, format_moment


def choose_moment(arguments: SplitOptions, events: pl.DataFrame) -> int | None:
    """Moment of the split in milliseconds, None for leave-one-out; ValueError if the log cannot be split there."""
    if arguments.split != "time":
        if arguments.split_at is not None:
            raise ValueError("--split-at needs --split time")
        return None
    return find_split_moment(events, arguments.split_at)


def choose_artifact_moment(arguments: SplitOptions, events: pl.DataFrame, manifest: Mapping[str, Any]) -> int | None:
    """Moment of the split for a trained artifact, by default its own; ValueError if it was trained on later events."""
    trained_ms: int | None = manifest.get("split", {}).get("moment_ms")
    if arguments.split is None:
        arguments.split = "leave-one-out" if trained_ms is None else "time"
    if arguments.split != "time":
        return choose_moment(arguments, events)
    if trained_ms is None:
        raise ValueError("the artifact was trained leave-one-out, on events of all times; train it with --split time")
    moment_ms = trained_ms if arguments.split_at is None else arguments.split_at
    if moment_ms < trained_ms:
        raise ValueError(
            f"the artifact was trained on events until {format_moment(trained_ms)}; --split-at must not be earlier "
            f"(got {format_moment(moment_ms)})"
        )
    return find_split_moment(events, moment_ms)


def describe_split(dataset: Dataset) -> dict[str, Any]:
    """Entries of a JSON result: the split, its moment, and users that it cannot test as usual."""
    split = dataset.time_split
    return {
        "split": "leave-one-out" if split is None else "time",
        "split_at": None if split is None else format_moment(split.moment_ms),
        "unknown_targets": dataset.unknown_targets,
        "users_without_history": 0 if split is None else split.users_without_history,
    }
