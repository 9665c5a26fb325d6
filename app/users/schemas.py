"""Bodies of the /users routes: list, history, erasure and merge."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.http.field_types import Id


class ListedUser(BaseModel):
    """A user with a history."""

    user_id: str
    last_event: float | None = Field(
        description="time of the last event in Unix seconds; null if an earlier release stored it"
    )


class UserList(BaseModel):
    """Some users: recently active ones first, then a sample."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"users": [{"user_id": "ada", "last_event": 1790000000.0}], "complete": False}]}
    )

    users: list[ListedUser]
    complete: bool = Field(description="whether these are all users with the prefix")


class StoredEvent(BaseModel):
    """One event of a history."""

    item_id: str | None = Field(
        description="null for an item that the catalogue does not know and whose id is no longer kept"
    )
    timestamp: int = Field(description="Unix milliseconds")


class UserHistory(BaseModel):
    """The retained events of a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "history_version": 1,
                    "events": [{"item_id": "lantern-coast-3", "timestamp": 1700000000000}],
                }
            ]
        }
    )

    user_id: str
    history_version: int = Field(description="0 for a user without history")
    events: list[StoredEvent] = Field(description="oldest first")


class ErasureReceipt(BaseModel):
    """Proof that a user is erased."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "ada", "keys_removed": 2, "log_entries_removed": 1, "archive": "marked"}]
        }
    )

    user_id: str
    keys_removed: int = Field(description="number of keys of this user that were in the store")
    log_entries_removed: int = Field(description="entries of the event log of this user that were not archived yet")
    archive: Literal["marked", "compacted"] = Field(
        description="marked: readers of the archive omit the user from now on, and the next compaction removes the "
        "rows; compacted: the rows are removed"
    )


class MergeRequest(BaseModel):
    """Request to move the events of another id."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"from": "anonymous-17"}]})

    from_user: Id = Field(alias="from", description="the user id to move events from; it is erased")


class MergeReceipt(BaseModel):
    """Outcome of a merge."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "merged_from": "anonymous-17",
                    "stored": 4,
                    "history_version": 101,
                    "keys_removed": 2,
                }
            ]
        }
    )

    user_id: str
    merged_from: str
    stored: int = Field(
        description="events that this call has added to the user, also those of an earlier call that was not answered; "
        "0 if they had all been added before"
    )
    history_version: int
    keys_removed: int = Field(description="keys of the other id that this call has removed")
