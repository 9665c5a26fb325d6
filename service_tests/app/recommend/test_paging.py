"""Pages of an answer: no item is repeated, whatever changes between them, and a cursor cannot be forged."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.recommend.paging import MAX_SHOWN
from app.settings import Settings
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.service import Service, run_service

pytestmark = pytest.mark.anyio
KEYS = "first-key-of-thirty-two-characters-x", "other-key-of-thirty-two-characters-x"


def get_ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def get_all_ids(pages: list[dict[str, Any]]) -> list[str]:
    return [item_id for page in pages for item_id in get_ids(page)]


async def read_pages(service: Service, pages: int, **first: Any) -> list[dict[str, Any]]:
    """Read a first page, and the following ones with nothing but their cursors."""
    answers = [await service.recommend(**first, paginate=True)]
    while len(answers) < pages:
        answers.append(await service.recommend(cursor=answers[-1]["next_cursor"]))
    return answers


async def find_problem(service: Service, **body: Any) -> tuple[str, str]:
    response = await service.http.post("/recommend", json=body)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    return error["field"], error["detail"]


async def test_pages_are_the_slices_of_one_long_answer(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8", "i9")
    pages = await read_pages(service, 3, user_id=user, k=7)
    assert get_all_ids(pages) == get_ids(await service.recommend(user_id=user, k=21))
    assert {page["served_by"] for page in pages} == {"model"}


async def test_no_item_is_repeated_while_events_arrive(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    page = await service.recommend(user_id=user, k=8, exclude_seen=False, paginate=True)
    shown = get_ids(page)
    for number in range(20, 25):
        await service.post_events(user, f"i{number}")
        page = await service.recommend(cursor=page["next_cursor"])
        assert page["history_version"] == number - 17, "the page rests on the history of its moment"
        shown += get_ids(page)
    assert len(set(shown)) == len(shown) == 48


async def test_last_page_has_the_remaining_items_and_no_cursor(service: Service, new_user: Callable[[], str]) -> None:
    pages = await read_pages(service, 3, user_id=new_user(), k=25)
    assert [len(page["items"]) for page in pages] == [25, 25, 10]
    assert [bool(page["next_cursor"]) for page in pages] == [True, True, False]
    assert set(get_all_ids(pages)) == {f"i{number}" for number in range(1, 61)}


async def test_page_that_limits_shorten_is_not_the_last_one(service: Service) -> None:
    """The catalogue has two categories, so that a limit of two leaves four items per page."""
    body: dict[str, Any] = {"history": ["i7"], "k": 10, "limit_per": {"categories": 2}}
    pages = [await service.recommend(**body, paginate=True)]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(await service.recommend(**body, cursor=cursor))
    assert [len(page["items"]) for page in pages[:3]] == [4, 4, 4]
    assert not pages[-1]["items"], "the last page is empty"
    assert sorted(get_all_ids(pages)) == sorted(f"i{number}" for number in range(1, 61) if number != 7)


async def test_popular_items_have_pages(service: Service, new_user: Callable[[], str]) -> None:
    pages = await read_pages(service, 2, user_id=new_user(), k=3)
    assert list(map(get_ids, pages)) == [["i1", "i2", "i3"], ["i4", "i5", "i6"]]


async def test_page_may_have_another_size_and_history(service: Service) -> None:
    first = await service.recommend(history=["i7"], k=3, paginate=True)
    second = await service.recommend(history=["i7", "i9"], k=5, cursor=first["next_cursor"])
    assert len(second["items"]) == 5
    assert not set(get_ids(first)) & set(get_ids(second))
    assert (await find_problem(service, cursor=first["next_cursor"]))[0] == "history"


async def test_filters_hold_for_all_pages_and_must_be_repeated(service: Service) -> None:
    body: dict[str, Any] = {
        "history": ["i7"],
        "k": 5,
        "categories": ["odd"],
        "candidates": [f"i{number}" for number in range(1, 40)],
        "exclude": ["i1", "i3"],
    }
    first = await service.recommend(**body, paginate=True)
    pages = [first]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(await service.recommend(**body, cursor=cursor))
    shown = get_all_ids(pages)
    assert sorted(shown) == sorted(f"i{number}" for number in range(5, 40, 2) if number != 7)
    for name, value in (("categories", ["even"]), ("candidates", ["i9"]), ("exclude", ["i1"])):
        assert (await find_problem(service, **body | {name: value}, cursor=first["next_cursor"]))[0] == name
        without = {field: body[field] for field in body if field != name}
        assert (await find_problem(service, **without, cursor=first["next_cursor"]))[0] == name


async def test_answer_has_a_cursor_only_if_it_is_a_page(service: Service) -> None:
    assert "next_cursor" not in await service.recommend(history=["i7"])
    response = await service.http.post(
        "/recommend/batch", json={"requests": [{"history": ["i7"], "k": 2, "paginate": True}, {"history": ["i7"]}]}
    )
    page, plain = response.json()["responses"]
    assert "next_cursor" not in plain
    response = await service.http.post(
        "/recommend/batch", json={"requests": [{"history": ["i7"], "cursor": page["next_cursor"]}, {"cursor": "x"}]}
    )
    second, wrong = response.json()["responses"]
    assert not set(get_ids(page)) & set(get_ids(second))
    assert (wrong["status"], wrong["detail"].partition(":")[0]) == (422, "cursor")


async def test_wrong_cursors_are_refused_by_name(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    cursor = (await service.recommend(user_id=user, k=2, paginate=True))["next_cursor"]
    middle = len(cursor) // 2
    forged = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for text in ("", "x", "ä", cursor[:-4], cursor + "AAAA", forged, "A" * 16_384):
        field, detail = await find_problem(service, cursor=text)
        assert field == "cursor", text
        assert "is not a cursor of this service" in detail
    assert (await find_problem(service, cursor="A" * 16_385))[0] == "cursor"
    assert (await find_problem(service, user_id=new_user(), cursor=cursor))[0] == "user_id"
    assert await service.recommend(user_id=user, cursor=cursor)


async def test_cursors_expire(settings: Settings) -> None:
    async with run_service(settings.with_changes(cursor_lifetime_s=4)) as service:
        first = await service.recommend(history=["i7"], k=2, paginate=True)
        assert await service.recommend(history=["i7"], cursor=first["next_cursor"])
        async with asyncio.timeout(60):
            while True:
                response = await service.http.post("/recommend", json={"cursor": first["next_cursor"]})
                if "has expired" in response.text:
                    return
                await asyncio.sleep(0.2)


async def test_cursors_survive_a_restart_and_a_rotation_of_keys(settings: Settings) -> None:
    async def read_status(changes: dict[str, Any], cursor: str) -> int:
        async with run_service(settings.with_changes(**changes)) as service:
            body = {"history": ["i7"], "cursor": cursor}
            return (await service.http.post("/recommend", json=body)).status_code

    async def make_cursor(changes: dict[str, Any]) -> str:
        async with run_service(settings.with_changes(**changes)) as service:
            return str((await service.recommend(history=["i7"], k=2, paginate=True))["next_cursor"])

    first, both, other = ({"signing_keys": SecretStr(keys)} for keys in (KEYS[0], f"{KEYS[1]}, {KEYS[0]}", KEYS[1]))
    assert await read_status({}, await make_cursor({})) == 200, "the key is in the data folder"
    cursor = await make_cursor(first)
    assert [await read_status(changes, cursor) for changes in (first, both, other, {})] == [200, 200, 422, 422]
    assert await read_status(other, await make_cursor(both)) == 200, "the first key signs"


async def test_pages_end_after_a_thousand_items(settings: Settings, tmp_path: Path) -> None:
    artifact = write_tiny_artifact(tmp_path / "large", num_items=MAX_SHOWN + 200)
    async with run_service(settings.with_changes(artifact=artifact)) as service:
        page = await service.recommend(history=["i7"], k=90, paginate=True)
        shown = get_ids(page)
        while cursor := page["next_cursor"]:
            page = await service.recommend(history=["i7"], cursor=cursor)
            shown += get_ids(page)
        assert len(set(shown)) == len(shown) == MAX_SHOWN
