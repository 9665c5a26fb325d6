"""Lists of users: recently active ones first, each with a history at this moment, in bounded time."""

from collections.abc import AsyncIterator, Callable

import pytest

from app.stores.history import HistoryStore
from app.stores.keys import build_items_key
from app.stores.log_streams import LogStreams
from app.stores.records import NewEvent
from app.stores.user_lists import UserLists
from app.users.service import UserService

pytestmark = pytest.mark.anyio
MOMENT_MS = 1_700_000_000_000


@pytest.fixture
async def lists(store: HistoryStore) -> AsyncIterator[UserLists]:
    lists = UserLists(store.client, LogStreams(store.client), wait_s=10.0)
    yield lists
    await lists.close()


async def add_users(store: HistoryStore, *user_ids: str) -> None:
    """Store an event per user, a second apart."""
    await store.append(
        [NewEvent(user_id, "i1", MOMENT_MS + 1000 * position) for position, user_id in enumerate(user_ids)]
    )


async def test_users_with_a_prefix_are_listed_with_their_last_event(
    store: HistoryStore, lists: UserLists, new_user: Callable[[], str]
) -> None:
    prefix = new_user()
    users = [f"{prefix}-a", f"{prefix}-b", f"{prefix}}}%*?[x]\\é"]
    await add_users(store, *users)
    listed = await lists.read(prefix, 10)
    assert listed.is_complete
    assert {user.user_id: user.last_ms for user in listed.users} == {
        user: MOMENT_MS + 1000 * position for position, user in enumerate(users)
    }
    assert [user.user_id for user in (await lists.read(users[2], 10)).users] == users[2:]
    for wrong_prefix in ("-c", "*", "?a", "[-]", "\\-a"):
        assert (await lists.read(prefix + wrong_prefix, 10)).users == [], wrong_prefix


async def test_list_is_cut_at_its_limit_and_says_so(
    store: HistoryStore, lists: UserLists, new_user: Callable[[], str]
) -> None:
    prefix = new_user()
    await add_users(store, *(f"{prefix}-{number}" for number in range(7)))
    listed = await lists.read(prefix, 6)
    assert (len({user.user_id for user in listed.users}), listed.is_complete) == (6, False)
    assert (await lists.read(prefix, 7)).is_complete


async def test_users_without_entries_in_the_log_are_sampled(
    store: HistoryStore, lists: UserLists, new_user: Callable[[], str]
) -> None:
    prefix = new_user()
    await add_users(store, f"{prefix}-old")
    await store.client.delete(LogStreams(store.client).find_key(f"{prefix}-old"))
    assert [user.user_id for user in (await lists.read(prefix, 10)).users] == [f"{prefix}-old"]


async def test_erased_and_merged_users_are_not_listed(
    store: HistoryStore, lists: UserLists, new_user: Callable[[], str]
) -> None:
    prefix = new_user()
    await add_users(store, *(f"{prefix}-{name}" for name in ("erased", "expired", "source", "target")))
    await store.erase(f"{prefix}-erased")
    await store.client.delete(build_items_key(f"{prefix}-expired"))  # its entry of the log is still there
    await UserService(store).merge(f"{prefix}-target", f"{prefix}-source")
    listed = await lists.read(prefix, 10)
    assert ([user.user_id for user in listed.users], listed.is_complete) == ([f"{prefix}-target"], True)


async def test_value_of_another_type_hides_only_its_user(
    store: HistoryStore, lists: UserLists, new_user: Callable[[], str]
) -> None:
    prefix = new_user()
    await add_users(store, f"{prefix}-a")
    key = build_items_key(f"{prefix}-b").decode()
    await store.client.lpush(key, "x")
    try:
        assert [user.user_id for user in (await lists.read(prefix, 10)).users] == [f"{prefix}-a"]
    finally:
        await store.client.delete(key)
