"""Bodies of the /users routes: history, erasure and merge."""

from pydantic import BaseModel, ConfigDict, Field

from app.http.field_types import Id


class StoredEvent(BaseModel):
    """One event of a history."""

    item_id: str
    timestamp: int = Field(description="Unix milliseconds")
    type: str | None = None
    recommendation_id: str | None = None


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

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada", "keys_removed": 3}]})

    user_id: str
    keys_removed: int = Field(description="number of keys of this user that were in the store")


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
    stored: int = Field(description="events that the user did not have yet")
    history_version: int
    keys_removed: int
