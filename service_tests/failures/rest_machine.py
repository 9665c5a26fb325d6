"""Any order of REST calls against a plain-Python model of the store: events, reads, merges, erasures, live items.

Users and items have ids that break naive paths and keys. The service must have `VARIABLES`.
"""

from typing import Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.stores.records import NewEvent
from service_tests.app.stores.reference_history import ReferenceHistory

MAX_EVENTS = 12
VARIABLES = {
    "NEXTUP_HISTORY_MAX_EVENTS": str(MAX_EVENTS),
    "NEXTUP_REQUEST_DEADLINE_MS": "30000",
    "NEXTUP_REDIS_TIMEOUT_MS": "5000",
}
FIRST_MS = 1_700_000_000_000
NAMES = ["u", "u/history", "ü}{%0A", "a\nb"]
KNOWN_ITEMS = ["i1", "i2", "i3", "i59"]
ITEMS = [*KNOWN_ITEMS, "unknown/ü\n"]
LIVE_ITEMS = [*KNOWN_ITEMS, "live/ü\n"]
STEPS = 25
users = st.sampled_from(NAMES)
pairs = st.permutations(NAMES).map(lambda names: (names[0], names[1]))
events = st.lists(
    st.builds(
        NewEvent,
        user_id=users,
        item_id=st.sampled_from(ITEMS),
        timestamp_ms=st.integers(0, 15).map(lambda step: FIRST_MS + 700 * step),
        event_id=st.none() | st.integers(0, 12).map("e{}".format),
        type=st.sampled_from([None, "view"]),
        recommendation_id=st.none(),
    ),
    min_size=1,
    max_size=10,
)


item_changes = st.fixed_dictionaries(
    {"item_id": st.sampled_from(LIVE_ITEMS)},
    optional={
        "available": st.booleans(),
        "attributes": st.dictionaries(st.sampled_from("ab"), st.integers(0, 2)),
    },
)


class RestMachine(RuleBasedStateMachine):
    """`requests` counts the calls of all machines; `http` is set in a subclass."""

    requests = 0
    http: ClassVar[httpx.Client]

    def __init__(self) -> None:
        super().__init__()
        self._run = uuid4().hex
        self._histories = {name: ReferenceHistory(MAX_EVENTS) for name in NAMES}
        self._items: dict[str, dict[str, Any]] = {}
        for item in LIVE_ITEMS:
            self._send("DELETE", self._get_item_path(item))

    @rule(events=events, repeats=st.integers(1, 2))
    def post_events(self, events: list[NewEvent], repeats: int) -> None:
        bodies = [self._make_event(event) for event in events]
        for _ in range(repeats):
            answer = self._call("POST", "/events", 202, {"events": bodies})
            results = [(result["status"], result["history_version"]) for result in answer["results"]]
            assert results == self._append(events)
            for status in ("stored", "duplicate", "late"):
                assert answer[status] == sum(result[0] == status for result in results)

    @rule(user=users)
    def read_history(self, user: str) -> None:
        answer = self._call("GET", f"{self._get_path(user)}/history", 200)
        history = self._histories[user]
        assert (answer["user_id"], answer["history_version"]) == (self._run + user, history.version)
        stored = [(event["item_id"], event["timestamp"]) for event in answer["events"]]
        assert stored == [(event.item_id, event.timestamp_ms) for event in history.events]

    @rule(user=users, ahead=st.integers(-2, 2), exclude_seen=st.booleans(), k=st.integers(1, 70))
    def recommend(self, user: str, ahead: int, exclude_seen: bool, k: int) -> None:
        history = self._histories[user]
        version = max(1, history.version + ahead)
        body = {"user_id": self._run + user, "k": k, "exclude_seen": exclude_seen, "min_history_version": version}
        if version > history.version:
            self._call("POST", "/recommend", 409, body)
            return
        self._check_answer(self._call("POST", "/recommend", 200, body), history, k, exclude_seen)

    @rule(names=st.lists(users, min_size=1, max_size=5))
    def recommend_batch(self, names: list[str]) -> None:
        body = {"requests": [{"user_id": self._run + name, "k": 5} for name in names]}
        for name, answer in zip(names, self._call("POST", "/recommend/batch", 200, body)["responses"], strict=True):
            assert answer["status"] == 200
            self._check_answer(answer, self._histories[name], 5, True)

    @rule(pair=pairs)
    def merge(self, pair: tuple[str, str]) -> None:
        into, source = pair
        answer = self._call("POST", f"{self._get_path(into)}/merge", 200, {"from": self._run + source})
        results = self._histories[into].append(self._histories[source].events)
        self._histories[source] = ReferenceHistory(MAX_EVENTS)
        assert answer["stored"] == sum(result.status == "stored" for result in results)
        assert answer["history_version"] == self._histories[into].version

    @rule(user=users)
    def erase(self, user: str) -> None:
        answer = self._call("DELETE", self._get_path(user), 200)
        assert (answer["keys_removed"] > 0) == bool(self._histories[user].version)
        self._histories[user] = ReferenceHistory(MAX_EVENTS)

    @rule(changes=st.lists(item_changes, min_size=1, max_size=6), method=st.sampled_from(["PUT", "PATCH"]))
    def change_items(self, changes: list[dict[str, Any]], method: str) -> None:
        """The only worker must follow its own changes before it answers."""
        statuses = []
        for change in changes:
            old = self._items.get(change["item_id"])
            base = old if method == "PATCH" and old is not None else {"available": True, "attributes": {}}
            attributes = base["attributes"] | change.get("attributes", {})
            new = {"available": change.get("available", base["available"]), "attributes": attributes}
            statuses.append("created" if old is None else "unchanged" if old == new else "updated")
            self._items[change["item_id"]] = new
        answer = self._call(method, "/items", 200, {"items": changes})
        assert [result["status"] for result in answer["results"]] == statuses

    @rule(item=st.sampled_from(LIVE_ITEMS))
    def remove_item(self, item: str) -> None:
        self._call("DELETE", self._get_item_path(item), 404 if self._items.pop(item, None) is None else 200)

    @rule(item=st.sampled_from(LIVE_ITEMS))
    def read_item(self, item: str) -> None:
        is_known = item in KNOWN_ITEMS or item in self._items
        answer = self._call("GET", self._get_item_path(item), 200 if is_known else 404)
        if is_known:
            expected = self._items.get(item, {"available": True, "attributes": {}})
            assert {name: answer[name] for name in expected} == expected

    @invariant()
    def has_bounded_histories(self) -> None:
        assert all(len(history.events) <= MAX_EVENTS for history in self._histories.values())

    def teardown(self) -> None:
        for user in NAMES:
            self._call("DELETE", self._get_path(user), 200)
        for item in self._items:
            self._call("DELETE", self._get_item_path(item), 200)

    def _check_answer(self, answer: dict[str, Any], history: ReferenceHistory, k: int, exclude_seen: bool) -> None:
        assert (answer["history_version"], answer["history_length"]) == (history.version, len(history.events))
        items = [item["item_id"] for item in answer["items"]]
        seen_items = {event.item_id for event in history.events}
        assert len(set(items)) == len(items) <= k
        assert all(self._items.get(item, {"available": True})["available"] for item in items)
        assert not (exclude_seen and seen_items & set(items))
        assert (answer["reason"] == "unknown_user") == (not history.events)
        if seen_items & set(KNOWN_ITEMS):
            assert answer["served_by"] == "model", answer
        unknown = {event.item_id for event in history.events} - set(KNOWN_ITEMS)
        assert set(answer["unknown_items"]) == unknown

    def _append(self, events: list[NewEvent]) -> list[tuple[str, int]]:
        results: list[tuple[str, int] | None] = [None] * len(events)
        for name, history in self._histories.items():
            indices = [index for index, event in enumerate(events) if event.user_id == name]
            for index, result in zip(indices, history.append([events[i] for i in indices]), strict=True):
                results[index] = (result.status, result.history_version)
        return [result for result in results if result is not None]

    def _make_event(self, event: NewEvent) -> dict[str, Any]:
        fields = {"event_id": event.event_id, "type": event.type}
        given_fields = {name: value for name, value in fields.items() if value is not None}
        user = self._run + event.user_id
        return {"user_id": user, "item_id": event.item_id, "timestamp": event.timestamp_ms, **given_fields}

    def _get_path(self, user: str) -> str:
        return f"/users/{quote(self._run + user, safe='')}"

    def _get_item_path(self, item: str) -> str:
        return f"/items/{quote(item, safe='')}"

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        RestMachine.requests += 1
        return self.http.request(method, path, json=body)

    def _call(self, method: str, path: str, status: int, body: Any = None) -> dict[str, Any]:
        response = self._send(method, path, body)
        assert response.status_code == status, response.text
        answer: dict[str, Any] = response.json()
        return answer


def run_machine(url: str, examples: int) -> int:
    """Run so many random orders of calls; return the number of requests, or raise with the failing order."""
    RestMachine.requests = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        run_state_machine_as_test(
            type("BoundMachine", (RestMachine,), {"http": http}),
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],  # each try of a shorter order would take seconds
                suppress_health_check=list(HealthCheck),
            ),
        )
    return RestMachine.requests
