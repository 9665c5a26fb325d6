"""GET /users, GET /users/{id}/history, DELETE /users/{id}, POST /users/{id}/merge."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.users.schemas import ErasureReceipt, ListedUser, MergeReceipt, MergeRequest, StoredEvent, UserHistory, UserList
from app.users.service import UserService

router = APIRouter(prefix="/users", tags=["users"], route_class=WholePathRoute)
Service = Annotated[UserService, Depends(get_state("users"))]
MAX_LISTED = 100
# `:id`, because an id may contain slashes and line breaks.
UserId = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("", operation_id="list_users", responses=declare_errors(503))
async def users(
    service: Service,
    prefix: Annotated[str, Query(max_length=128, description="with which the ids begin; case matters")] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="most users to return")] = 20,
) -> UserList:
    """List users: recently active ones first, then a sample of all. Erased users never appear."""
    listed = await service.list(prefix, limit)
    users = [
        ListedUser(user_id=user.user_id, last_event=None if user.last_ms is None else user.last_ms / 1000)
        for user in listed.users
    ]
    return UserList(users=users, complete=listed.is_complete)


@router.get("/{user_id:id}/history", operation_id="read_history", responses=declare_errors(503))
async def history(user_id: UserId, service: Service) -> UserHistory:
    """Return the retained events of a user, oldest first."""
    stored = await service.read_history(user_id)
    events = [StoredEvent(item_id=event.item_id, timestamp=event.timestamp_ms) for event in stored.events]
    return UserHistory(user_id=user_id, history_version=stored.version, events=events)


@router.delete("/{user_id:id}", operation_id="erase_user", responses=declare_errors(503))
async def erase(user_id: UserId, service: Service) -> ErasureReceipt:
    """Erase all data of a user; the receipt counts what was removed. Idempotent."""
    erasure = await service.erase(user_id)
    return ErasureReceipt(
        user_id=user_id,
        keys_removed=erasure.keys_removed,
        log_entries_removed=erasure.log_entries_removed,
        archive=erasure.archive,
    )


@router.post("/{user_id:id}/merge", operation_id="merge_users", responses=declare_errors(503))
async def merge(user_id: UserId, body: MergeRequest, service: Service) -> MergeReceipt:
    """Move the events of another id, such as an anonymous one, to this user, and erase that id. Idempotent."""
    merged = await service.merge(user_id, body.from_user)
    return MergeReceipt(
        user_id=user_id,
        merged_from=body.from_user,
        stored=merged.stored,
        history_version=merged.history_version,
        keys_removed=merged.keys_removed,
    )
