"""Erasures and merges in memory: every user has a separate stream, whose ids say nothing about other streams."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive.resolution import apply_controls, drop_copies, drop_repetitions
from app.archive.rows import (
    NO_CONTROLS,
    NO_EVENTS,
    build_control_row,
    build_controls,
    build_event_rows,
    build_events,
)
from app.archive.settling import split_settled
from app.stores.log_entries import Control, LogEntry, LogId
from app.stores.records import NewEvent
from service_tests.app.archive.log_writer import Row
from service_tests.app.archive.reference_log import ReferenceLog

USERS = ("ann", "bob", "cid")
CLOCKS = {"ann": 10**12, "bob": 10**12 - 3000, "cid": 10**12 + 2000}
"""Each stream's server has another clock, within the margin that compaction allows."""


class Step(NamedTuple):
    kind: str
    user: str
    other: str
    item: str
    time: int


class Streams:
    """One stream per user; `pending` are rows and controls that no compaction has seen."""

    def __init__(self) -> None:
        self.events, self.controls = NO_EVENTS, NO_CONTROLS
        self.now = 0

    def write(self, user: str, event: NewEvent | None = None, **control: str) -> None:
        self.now += 1
        log_id = LogId(CLOCKS[user] + self.now, 0)
        if event is not None:
            rows = build_events(build_event_rows(LogEntry(log_id, user, event.record), user))
            self.events = self.events.vstack(rows)
            return
        kind: Control = "erase" if "kind" not in control else ("merge" if control["kind"] == "merge" else "receive")
        entry = LogEntry(log_id, user, b"", kind, control.get("other"), control.get("token"))
        self.controls = self.controls.vstack(build_controls([build_control_row(entry, user)]))

    def compact(self) -> None:
        settled, self.controls = split_settled(self.controls, CLOCKS["ann"] + self.now)
        self.events = drop_copies(apply_controls(self.events, settled))

    def list_rows(self) -> list[Row]:
        events = drop_repetitions(apply_controls(self.events, self.controls))
        columns = ("user_id", "item_id", "timestamp", "type", "recommendation_id", "event_identity")
        return sorted(events.select(columns).rows(), key=repr)


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["append", "append", "append", "erase", "merge", "receive", "compact"]),
        st.sampled_from(USERS),
        st.sampled_from(USERS),
        st.sampled_from(["a", "b"]),
        st.integers(0, 1),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(steps=steps)
def test_chains_of_merges_and_erasures_equal_the_reference(steps: list[Step]) -> None:
    streams, reference = Streams(), ReferenceLog()
    for number, step in enumerate(steps):
        if step.kind == "append":
            event = NewEvent(step.user, step.item, step.time, type=str(number))
            streams.write(step.user, event)
            reference.append(step.user, event)
        elif step.kind == "erase":
            streams.write(step.user)
            reference.erase(step.user)
        elif step.kind == "compact":
            streams.compact()
        elif step.user != step.other:
            streams.write(step.other, kind="receive", other=step.user, token=str(number))
            if step.kind == "merge":
                streams.write(step.user, kind="merge", other=step.other, token=str(number))
                reference.merge(step.user, step.other)
        assert streams.list_rows() == reference.list_rows()


def test_merges_that_crossed_each_other_end() -> None:
    """Two merges in opposite directions at the same time: each received the other's events before it was erased."""
    streams = Streams()
    streams.write("ann", NewEvent("ann", "a", 1))
    streams.write("bob", kind="receive", other="ann", token="1")
    streams.write("ann", kind="receive", other="bob", token="2")
    streams.write("ann", kind="merge", other="bob", token="1")
    streams.write("bob", kind="merge", other="ann", token="2")
    assert [row[1] for row in streams.list_rows()] == ["a"]
    streams.write("ann")
    streams.write("bob")
    assert streams.list_rows() == []


def test_merge_without_its_receive_entry_moves_events_to_the_target() -> None:
    """The entry was dropped from a full log."""
    streams = Streams()
    streams.write("ann", NewEvent("ann", "a", 1))
    streams.write("ann", kind="merge", other="bob", token="1")
    assert [row[0] for row in streams.list_rows()] == ["bob"]
