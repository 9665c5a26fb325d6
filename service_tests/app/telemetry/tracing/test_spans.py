"""Spans that a service process exports to an OTLP receiver: requests, their stages and their batches."""

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

pytestmark = [pytest.mark.slow, pytest.mark.process]
HOT_PATH, ROUTE = "application/json", "application/json; charset=utf-8"
CLIENT_SPAN = "00f067aa0ba902b7"
SECRET_USER, SECRET_ITEM = "user-never-in-a-span", "item-never-in-a-span"


@dataclass(frozen=True)
class Traced:
    """A service that samples every request, and its OTLP receiver."""

    http: httpx.Client
    receiver: OtlpReceiver

    def send(self, path: str, body: Any, *, flags: str = "01", **headers: str) -> tuple[httpx.Response, str]:
        """Send a request; return the response and the id of the trace that the client started."""
        trace_id = uuid4().hex
        request_headers = {"content-type": HOT_PATH, "traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"} | headers
        return self.http.post(path, content=json.dumps(body), headers=request_headers), trace_id

    def wait_for_request(self, trace_id: str) -> ReceivedSpan:
        """Wait for the span of a request; its children arrive before it, because they end first."""
        wait_until(lambda: self._find_requests(trace_id) != [], 10, lambda: f"no span of {trace_id}")
        [span] = self._find_requests(trace_id)
        return span

    def _find_requests(self, trace_id: str) -> list[ReceivedSpan]:
        return [span for span in self.receiver.get_requests() if span.trace_id == trace_id]


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
        httpx.Client(base_url=served.url, timeout=60) as http,
    ):
        events = [{"user_id": SECRET_USER, "item_id": item} for item in ("i7", "i8", SECRET_ITEM)]
        assert http.post("/events", json={"events": events}).json()["stored"] == 3
        yield Traced(http, receiver)
    assert [line for line in served.output if "traceparent" in line] == [], "clients cannot flood the log"


def test_request_continues_the_clients_trace_with_stages_as_children(traced: Traced) -> None:
    response, trace_id = traced.send("/recommend", {"user_id": SECRET_USER, "k": 3}, **{"x-request-id": "ask-1"})
    span = traced.wait_for_request(trace_id)
    assert (span.name, span.parent_id, span.failed) == ("POST /recommend", CLIENT_SPAN, False)
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
        assert before.end_ns <= after.start_ns + 1000, "in sequence, up to rounding"
    assert all(span.start_ns <= stage.start_ns and stage.end_ns <= span.end_ns + 1000 for stage in stages)
    assert all(stage.trace_id == trace_id and stage.attributes == {} for stage in stages)


@pytest.mark.parametrize(
    ("body", "status", "served_by", "reason"),
    [
        ({"user_id": SECRET_USER}, 200, "model", None),
        ({"history": ["i1", SECRET_ITEM]}, 200, "model", None),
        ({"user_id": "unknown"}, 200, "popularity", "unknown_user"),
        ({"user_id": SECRET_USER, "min_history_version": 99}, 409, None, None),
        ({"user_id": SECRET_USER, "k": 101}, 422, None, None),
        ({"history": ["i1"], "k": "many"}, 422, None, None),
    ],
)
def test_hot_path_and_route_record_the_same_spans(
    body: dict[str, Any], status: int, served_by: str | None, reason: str | None, traced: Traced
) -> None:
    responses = [
        traced.send("/recommend", body, **{"content-type": kind, "x-request-id": "same"}) for kind in (HOT_PATH, ROUTE)
    ]
    assert [response.status_code for response, _ in responses] == [status, status]
    spans = [traced.wait_for_request(trace_id) for _, trace_id in responses]
    records = [
        (span.name, span.attributes, [stage.name for stage in traced.receiver.find_children(span)]) for span in spans
    ]
    assert records[0] == records[1]
    assert records[0][1].get("nextup.served_by") == served_by
    assert records[0][1].get("nextup.reason") == reason


def test_batch_links_once_to_a_request_with_many_queries(traced: Traced) -> None:
    _, trace_id = traced.send("/recommend/batch", {"requests": [{"history": ["i1"]}] * 20})
    span = traced.wait_for_request(trace_id)
    wait_until(lambda: _find_linked(traced, span) != [], 10, lambda: "no batch is linked")
    batches = _find_linked(traced, span)
    assert sum(batch.attributes["nextup.batch.size"] for batch in batches) == 20
    assert [batch.links for batch in batches] == [[(trace_id, span.span_id)]] * len(batches)
    assert all(batch.parent_id == "" and batch.trace_id != trace_id for batch in batches)


def _find_linked(traced: Traced, span: ReceivedSpan) -> list[ReceivedSpan]:
    return [batch for batch in traced.receiver.get_batches() if (span.trace_id, span.span_id) in batch.links]


def test_span_name_is_the_route_template(traced: Traced) -> None:
    trace_id = uuid4().hex
    headers = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-01"}
    assert traced.http.get(f"/users/{SECRET_USER}/history", headers=headers).status_code == 200
    assert traced.wait_for_request(trace_id).name == "GET /users/{user_id}/history"
    other = uuid4().hex
    traced.http.get(f"/{SECRET_USER}", headers={"traceparent": f"00-{other}-{CLIENT_SPAN}-01"})
    assert traced.wait_for_request(other).name == "GET unmatched"


MALFORMED = [
    "",
    "invalid",
    f"00-{'0' * 32}-{CLIENT_SPAN}-01",
    f"00-{'a' * 32}-{'0' * 16}-01",
    f"00-{'A' * 32}-{CLIENT_SPAN}-01",
    f"00-{'a' * 31}-{CLIENT_SPAN}-01",
    f"00-{'a' * 32}-{CLIENT_SPAN}-01-more",
    f"ff-{'a' * 32}-{CLIENT_SPAN}-01",
    f"01-{'a' * 32}-{CLIENT_SPAN}-01-{'x' * 600}",
    f"00-{'a' * 32}-{CLIENT_SPAN}-01, 00-{'b' * 32}-{CLIENT_SPAN}-01",
    "\xff\xfe",
]


def test_malformed_traceparent_starts_a_new_trace(traced: Traced) -> None:
    trace_ids = []
    for header in MALFORMED:
        headers = [(b"content-type", b"application/json"), (b"traceparent", header.encode("latin-1"))]
        response = traced.http.post("/recommend", content=b'{"history": ["i1"]}', headers=headers)
        assert response.status_code == 200, header
        _, trace_id, _, flags = response.headers["traceresponse"].split("-")
        assert trace_id not in ("a" * 32, "0" * 32), header
        assert int(flags, 16) & 1, "the service samples all new traces"
        trace_ids.append(trace_id)
    assert len(set(trace_ids)) == len(MALFORMED)
    assert {traced.wait_for_request(trace_id).parent_id for trace_id in trace_ids} == {""}


def test_repeated_traceparent_is_ignored(traced: Traced) -> None:
    parents = [(b"traceparent", f"00-{letter * 32}-{CLIENT_SPAN}-01".encode()) for letter in "ab"]
    response = traced.http.get("/livez", headers=parents)
    assert response.headers["traceresponse"].split("-")[1] not in ("a" * 32, "b" * 32)


def test_trace_not_sampled_by_the_client_is_not_exported(traced: Traced) -> None:
    response, unsampled = traced.send("/recommend", {"history": ["i1"]}, flags="00")
    assert response.headers["traceresponse"].split("-")[1] == unsampled
    _, sampled = traced.send("/recommend", {"history": ["i1"]})
    traced.wait_for_request(sampled)  # sent later, and already exported
    assert [span for span in traced.receiver.spans if span.trace_id == unsampled] == []
    assert unsampled not in {trace_id for batch in traced.receiver.get_batches() for trace_id, _ in batch.links}


def test_span_names_the_service_and_contains_no_user_or_item(traced: Traced) -> None:
    traced.send("/similar", {"item_id": SECRET_ITEM})
    _, trace_id = traced.send("/events", {"events": [{"user_id": SECRET_USER, "item_id": SECRET_ITEM}]})
    assert traced.wait_for_request(trace_id).name == "POST /events"
    resource = traced.receiver.resource
    assert (resource["service.name"], resource["service.version"]) == ("nextup", __version__)
    exported = b"".join(traced.receiver.bodies)
    assert len(exported) > 1000
    assert SECRET_USER.encode() not in exported
    assert SECRET_ITEM.encode() not in exported
