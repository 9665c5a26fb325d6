"""Both clients against the real service: typed answers, and errors that name field and request id."""

from collections.abc import Callable

import httpx
import pytest

import nextup
from nextup.models import BatchError, BatchRecommendation
from service_tests.client.conftest import Connect
from service_tests.support.served_service import SocketServer


def test_answers_are_typed_models(server: SocketServer, connect: Connect, new_user: Callable[[], str]) -> None:
    client, user, anonymous = connect(server.url), new_user(), new_user()
    events = client.ingest_events(events=[{"user_id": anonymous, "item_id": "i7"}])
    assert (events.stored, events.results[0].history_version) == (1, 1)
    merged = client.merge_users(user, from_=anonymous)
    assert (merged.merged_from, merged.stored) == (anonymous, 1)
    answer = client.recommend(user_id=user, k=3, include=["title"])
    assert (answer.served_by, answer.history_length, len(answer.items)) == ("model", 1, 3)
    assert answer.items[0].title == f"Item number {answer.items[0].item_id[1:]}"
    good, bad = (client.recommend_batch(requests=[{"user_id": user, "k": 1}, {"user_id": user, "k": 0}])).responses
    assert isinstance(good, BatchRecommendation)
    assert isinstance(bad, BatchError)
    assert bad.status == 422


def test_ids_in_paths_may_have_any_characters(
    server: SocketServer, connect: Connect, new_user: Callable[[], str]
) -> None:
    client, user = connect(server.url), f"a/b?c#d %2F é\n{new_user()}"
    client.ingest_events(events=[{"user_id": user, "item_id": "i1"}])
    history = client.read_history(user)
    assert (history.user_id, [event.item_id for event in history.events]) == (user, ["i1"])
    with pytest.raises(ValueError, match="user_id must not be"):
        client.erase_user("..")


def test_problems_are_typed_and_name_field_and_request(server: SocketServer, connect: Connect) -> None:
    client = connect(server.url)
    with pytest.raises(nextup.InvalidRequest, match=r"POST /recommend is answered 422: .*k.*\(request ") as invalid:
        client.recommend(user_id="ada", k=0)
    assert [problem.field for problem in invalid.value.errors] == ["k"]
    assert invalid.value.request_id in str(invalid.value)
    with pytest.raises(nextup.NotFound) as missing:
        client.read_item("no-such-item")
    assert missing.value.type == "urn:nextup:problem:not-found"
    with pytest.raises(nextup.Conflict, match="409"):
        client.recommend(user_id="ada", min_history_version=5)


def test_service_gets_the_remaining_time_as_its_deadline() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(404, content=b"")

    with nextup.Client("http://shop.example", deadline_s=7.0, transport=httpx.MockTransport(answer)) as client:
        for call in (lambda: client.recommend(user_id="ada"), client.list_models):
            with pytest.raises(nextup.NotFound):
                call()
    assert 0 < int(requests[0].headers["X-Request-Deadline-Ms"]) <= 7000
    assert "X-Request-Deadline-Ms" not in requests[1].headers


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (502, "<html>bad gateway</html>", nextup.Unavailable),
        (200, "<html>hello</html>", nextup.UnreadableAnswer),
        (301, "", nextup.UnreadableAnswer),
        (418, "{}", nextup.UnreadableAnswer),
    ],
)
def test_answers_of_other_services_are_errors(status: int, content: str, error: type[Exception]) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text=content))
    once = nextup.RetryPolicy(max_tries=1)
    with (
        nextup.Client("http://shop.example", transport=transport, retries=once) as client,
        pytest.raises(error) as info,
    ):
        client.recommend(user_id="ada")
    assert f"POST /recommend is answered {status}" in str(info.value)


def test_answer_beyond_the_limit_is_not_read() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * 2000))
    with (
        nextup.Client("http://shop.example", transport=transport, max_answer_bytes=1000) as client,
        pytest.raises(nextup.UnreadableAnswer, match="exceeds 1000 bytes"),
    ):
        client.list_models()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://shop", "http://", "http://user:secret@shop.example"])
def test_address_is_checked_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"^base_url must") as info:
        nextup.Client(url)
    assert "secret" not in str(info.value)


def test_key_is_in_no_text_of_a_client() -> None:
    with nextup.Client("http://shop.example", api_key="nextup_secret") as client:
        assert "secret" not in repr(client.options)
