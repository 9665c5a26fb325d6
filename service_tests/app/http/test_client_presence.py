"""Callbacks run once when the client leaves, and not at all once they are removed."""

from app.http.client_presence import ClientPresence


def test_callbacks_run_once_when_the_client_leaves() -> None:
    presence, calls = ClientPresence(), list[str]()
    kept, removed = (lambda: calls.append("kept")), (lambda: calls.append("removed"))
    presence.add(kept)
    presence.add(removed)
    presence.discard(removed)
    presence.leave()
    presence.leave()
    assert presence.has_left
    assert calls == ["kept"]


def test_callback_for_a_client_that_has_left_runs_immediately() -> None:
    presence, calls = ClientPresence(), list[str]()
    presence.leave()
    presence.add(lambda: calls.append("late"))
    assert calls == ["late"]
