"""Apply erasures and merges to events: what remains, and to whom it belongs.

The first `erase` or `merge` of a user behind an event decides about it. After an erasure the event does not exist.
After a merge it belongs to the target, at the place of the `receive` entry with the same token in the target's stream,
and the controls of the target behind that place decide next. Ids of different streams are never compared.
"""

import polars as pl

from app.archive.rows import EVENT_SCHEMA

_SEQUENCE_BITS = 20
"""A log id as one number: milliseconds need 42 bits, and one millisecond has far fewer than 2**20 entries."""


def apply_controls(events: pl.DataFrame, controls: pl.DataFrame) -> pl.DataFrame:
    """Return the events that exist, under the user that they belong to and at their place in that user's stream.

    Rows keep their order, but rows of one merge are in the order of the stream that they were merged from. Applying the
    controls again, or more of them, to the result is the same as applying all of them to `events`.
    """
    cuts = controls.filter(pl.col("control") != "receive")
    affected = pl.col("user_id").is_in(cuts["user_id"].unique().to_list())
    if cuts.is_empty() or events.is_empty() or (pending := _number(events).filter(affected)).is_empty():
        return events
    unaffected = _number(events).filter(~affected)
    cuts, places = _prepare_cuts(cuts), _prepare_places(controls)
    decided: list[pl.DataFrame] = []
    rounds = 0
    # Each round follows one merge. More rounds than merges can only be a circle of merges that crossed each other.
    for _ in range(1 + cuts.filter(pl.col("control") == "merge").height):
        joined = _find_next(pending, cuts)
        decided.append(joined.filter(pl.col("control").is_null()).select(pending.columns))
        pending = _move(joined.filter(pl.col("control") == "merge"), places).select(*pending.columns, "previous_place")
        rounds += 1
        pending = _remember_place(pending, rounds)
        if pending.is_empty():
            break
    in_circles = _find_next(pending, cuts.filter(pl.col("control") == "erase"))
    decided.append(in_circles.filter(pl.col("control").is_null()).select(pending.columns))
    moved = pl.concat(decided, how="diagonal")
    return pl.concat([unaffected, _restore_order(moved, rounds)]).sort("row").select(*EVENT_SCHEMA)


def drop_repetitions(events: pl.DataFrame) -> pl.DataFrame:
    """Sort events by the log and keep the first of equal ones, by the rule of the store (docs: identity).

    All controls must be applied before: an event that is erased does not count.
    """
    return _keep_first(events, ["user_id"])


def drop_copies(events: pl.DataFrame) -> pl.DataFrame:
    """Sort events by the log and keep one of rows that a crash wrote twice, which have the same log id."""
    return _keep_first(events, ["user_id", "log_ms", "log_seq"])


def _keep_first(events: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    has_identity = pl.col("event_identity").is_not_null()
    keyed = events.sort("log_ms", "log_seq", maintain_order=True).with_columns(
        item_key=pl.when(~has_identity).then("item_id"), time_key=pl.when(~has_identity).then("timestamp")
    )
    identity = ["event_identity", "item_key", "time_key"]
    return keyed.unique([*keys, *identity], keep="first", maintain_order=True).drop("item_key", "time_key")


def _place() -> pl.Expr:
    return pl.col("log_ms") * (1 << _SEQUENCE_BITS) + pl.col("log_seq")


def _number(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_row_index("row").with_columns(place=_place())


def _prepare_cuts(cuts: pl.DataFrame) -> pl.DataFrame:
    return cuts.select(
        "user_id", "control", "other_user", "token", cut_place=_place(), cut_ms="log_ms", cut_seq="log_seq"
    ).sort("cut_place")


def _prepare_places(controls: pl.DataFrame) -> pl.DataFrame:
    """The place of each `receive` entry, by target and token; an entry that is archived twice counts once."""
    receives = controls.filter(pl.col("control") == "receive")
    columns = {"other_user": "user_id", "new_ms": "log_ms", "new_seq": "log_seq", "new_stream": "stream"}
    return receives.select("token", **columns).unique(["other_user", "token"], keep="first", maintain_order=True)


def _find_next(events: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """Join each event with the first cut of its user behind it."""
    return events.sort("place").join_asof(
        cuts,
        left_on="place",
        right_on="cut_place",
        by="user_id",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )


def _move(merged: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Give rows to the target of their merge; without its `receive` entry, at the place of the `merge` entry."""
    moved = merged.join(places, on=["other_user", "token"], how="left", maintain_order="left")
    return moved.with_columns(
        previous_place="place",
        user_id="other_user",
        log_ms=pl.coalesce("new_ms", "cut_ms"),
        log_seq=pl.coalesce("new_seq", "cut_seq"),
        stream=pl.coalesce("new_stream", "stream"),
    ).with_columns(place=_place())


def _remember_place(moved: pl.DataFrame, rounds: int) -> pl.DataFrame:
    """Shift the places before earlier merges by one: `before_1` is the place before the last merge."""
    shifted = {f"before_{n + 1}": f"before_{n}" for n in range(1, rounds)}
    return moved.with_columns(before_1="previous_place", **shifted).drop("previous_place")


def _restore_order(moved: pl.DataFrame, rounds: int) -> pl.DataFrame:
    """Number rows of one place by their places before their merges, the last one first; drop these places."""
    places = [f"before_{n}" for n in range(1, rounds + 1) if f"before_{n}" in moved.columns]
    ordered = moved.sort("place", *places, "row")
    return ordered.with_columns(moved["row"].sort()).drop(places)
