"""What a real service process tells a real receiver of OTLP: a request, its stages, the batches it was in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app import __version__
from service_tests.support.nextup_process import run_service
from service_tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan, run_receiver
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
PLAIN, BY_ROUTE = "application/json", "application/json; charset=utf-8"
CALLER = "00f067aa0ba902b7"
SECRET_USER, SECRET_ITEM = "who-never-stands-in-a-span", "what-never-stands-in-a-span"


@dataclass(frozen=True)
class Traced:
    """A service that traces everything, and who receives it."""

    http: httpx.Client
    receiver: OtlpReceiver

    def ask(self, path: str, body: Any, *, flags: str = "01", **headers: str) -> tuple[httpx.Response, str]:
        """The answer, and the trace that the caller began."""
        trace_id = uuid4().hex
        given = {"content-type": PLAIN, "traceparent": f"00-{trace_id}-{CALLER}-{flags}"} | headers
        return self.http.post(path, content=json.dumps(body), headers=given), trace_id

    def request(self, trace_id: str) -> ReceivedSpan:
        """Its span, once it is here; then its children are, because they end before it."""
        wait_until(lambda: self._found(trace_id) != [], 10, lambda: f"no span of {trace_id}")
        [span] = self._found(trace_id)
        return span

    def _found(self, trace_id: str) -> list[ReceivedSpan]:
        return [span for span in self.receiver.requests() if span.trace_id == trace_id]


@pytest.fixture(scope="module")
def traced(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    with (
        run_receiver() as receiver,
        run_service(
            folder,
            "--artifact",
            str(tiny_artifact),
            NEXTUP_OTLP_ENDPOINT=receiver.url,
            NEXTUP_TRACE_SAMPLE_RATIO="1",
            NEXTUP_REQUEST_DEADLINE_MS="10000",
        ) as served,
        httpx.Client(base_url=served.url, timeout=20) as http,
    ):
        events = [{"user_id": SECRET_USER, "item_id": item} for item in ("i7", "i8", SECRET_ITEM)]
        assert http.post("/events", json={"events": events}).json()["stored"] == 3
        yield Traced(http, receiver)
    assert [line for line in served.output if "traceparent" in line] == [], "callers cannot fill the log"


def test_a_request_continues_the_callers_trace_with_its_stages_below_it(traced: Traced) -> None:
    response, trace_id = traced.ask("/recommend", {"user_id": SECRET_USER, "k": 3}, **{"x-request-id": "ask-1"})
    span = traced.request(trace_id)
    assert (span.name, span.parent_id, span.failed) == ("POST /recommend", CALLER, False)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/recommend",
        "http.response.status_code": 200,
        "nextup.request_id": "ask-1",
        "nextup.served_by": "model",
    }
    assert response.headers["traceresponse"][:52] == f"00-{trace_id}-{span.span_id}"
    stages = traced.receiver.find_children(span)
    assert [stage.name for stage in stages] == ["store", "queue", "encode", "score", "respond"]
    for before, after in pairwise(stages):
        assert before.end_ns <= after.start_ns + 1000, "one after the other, but for rounding"
    assert all(span.start_ns <= stage.start_ns and stage.end_ns <= span.end_ns + 1000 for stage in stages)
    assert all(stage.trace_id == trace_id and stage.attributes == {} for stage in stages)


@pytest.mark.parametrize(
    ("body", "status", "served_by", "reason"),
    [
        ({"user_id": SECRET_USER}, 200, "model", None),
        ({"history": ["i1", SECRET_ITEM]}, 200, "model", None),
        ({"user_id": "nobody"}, 200, "popularity", "unknown_user"),
        ({"user_id": SECRET_USER, "min_history_version": 99}, 409, None, None),
        ({"user_id": SECRET_USER, "k": 101}, 422, None, None),
        ({"history": ["i1"], "k": "many"}, 422, None, None),
    ],
)
def test_both_ways_to_an_answer_leave_the_same_spans(
    body: dict[str, Any], status: int, served_by: str | None, reason: str | None, traced: Traced
) -> None:
    asked = [
        traced.ask("/recommend", body, **{"content-type": kind, "x-request-id": "same"}) for kind in (PLAIN, BY_ROUTE)
    ]
    assert [response.status_code for response, _ in asked] == [status, status]
    spans = [traced.request(trace_id) for _, trace_id in asked]
    told = [
        (span.name, span.attributes, [stage.name for stage in traced.receiver.find_children(span)]) for span in spans
    ]
    assert told[0] == told[1]
    assert told[0][1].get("nextup.served_by") == served_by
    assert told[0][1].get("nextup.reason") == reason


def test_many_queries_of_one_request_are_one_link_of_their_batch(traced: Traced) -> None:
    _, trace_id = traced.ask("/recommend/batch", {"requests": [{"history": ["i1"]}] * 20})
    span = traced.request(trace_id)
    wait_until(lambda: _linked(traced, span) != [], 10, lambda: "no batch is linked")
    batches = _linked(traced, span)
    assert sum(batch.attributes["nextup.batch.size"] for batch in batches) == 20
    assert [batch.links for batch in batches] == [[(trace_id, span.span_id)]] * len(batches)
    assert all(batch.parent_id == "" and batch.trace_id != trace_id for batch in batches)


def _linked(traced: Traced, span: ReceivedSpan) -> list[ReceivedSpan]:
    return [batch for batch in traced.receiver.batches() if (span.trace_id, span.span_id) in batch.links]


def test_a_path_is_told_by_its_template(traced: Traced) -> None:
    trace_id = uuid4().hex
    given = {"traceparent": f"00-{trace_id}-{CALLER}-01"}
    assert traced.http.get(f"/users/{SECRET_USER}/history", headers=given).status_code == 200
    assert traced.request(trace_id).name == "GET /users/{user_id}/history"
    other = uuid4().hex
    traced.http.get(f"/{SECRET_USER}", headers={"traceparent": f"00-{other}-{CALLER}-01"})
    assert traced.request(other).name == "GET unmatched"


MALFORMED = [
    "",
    "nonsense",
    f"00-{'0' * 32}-{CALLER}-01",
    f"00-{'a' * 32}-{'0' * 16}-01",
    f"00-{'A' * 32}-{CALLER}-01",
    f"00-{'a' * 31}-{CALLER}-01",
    f"00-{'a' * 32}-{CALLER}-01-more",
    f"ff-{'a' * 32}-{CALLER}-01",
    f"01-{'a' * 32}-{CALLER}-01-{'x' * 600}",
    f"00-{'a' * 32}-{CALLER}-01, 00-{'b' * 32}-{CALLER}-01",
    "\xff\xfe",
]


def test_a_malformed_traceparent_begins_a_new_trace(traced: Traced) -> None:
    begun = []
    for given in MALFORMED:
        headers = [(b"content-type", b"application/json"), (b"traceparent", given.encode("latin-1"))]
        response = traced.http.post("/recommend", content=b'{"history": ["i1"]}', headers=headers)
        assert response.status_code == 200, given
        _, trace_id, _, flags = response.headers["traceresponse"].split("-")
        assert trace_id not in ("a" * 32, "0" * 32), given
        assert int(flags, 16) & 1, "its own choice is to keep all"
        begun.append(trace_id)
    assert len(set(begun)) == len(MALFORMED)
    assert {traced.request(trace_id).parent_id for trace_id in begun} == {""}


def test_two_traceparents_are_none(traced: Traced) -> None:
    parents = [(b"traceparent", f"00-{letter * 32}-{CALLER}-01".encode()) for letter in "ab"]
    response = traced.http.get("/livez", headers=parents)
    assert response.headers["traceresponse"].split("-")[1] not in ("a" * 32, "b" * 32)


def test_what_the_caller_does_not_keep_is_not_kept(traced: Traced) -> None:
    response, left_out = traced.ask("/recommend", {"history": ["i1"]}, flags="00")
    assert response.headers["traceresponse"].split("-")[1] == left_out
    _, kept = traced.ask("/recommend", {"history": ["i1"]})
    traced.request(kept)  # it came later, and is here
    assert [span for span in traced.receiver.spans if span.trace_id == left_out] == []
    assert left_out not in {trace_id for batch in traced.receiver.batches() for trace_id, _ in batch.links}


def test_a_span_says_which_service_it_is_of_and_nothing_of_whom_it_served(traced: Traced) -> None:
    traced.ask("/similar", {"item_id": SECRET_ITEM})
    _, trace_id = traced.ask("/events", {"events": [{"user_id": SECRET_USER, "item_id": SECRET_ITEM}]})
    assert traced.request(trace_id).name == "POST /events"
    about = traced.receiver.about
    assert (about["service.name"], about["service.version"]) == ("nextup", __version__)
    sent = b"".join(traced.receiver.bodies)
    assert len(sent) > 1000
    assert SECRET_USER.encode() not in sent
    assert SECRET_ITEM.encode() not in sent
