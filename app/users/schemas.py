"""Bodies of the /users routes: history, erasure and merge."""

from pydantic import BaseModel, ConfigDict, Field

from app.http.field_types import Id


class StoredEvent(BaseModel):
    item_id: str
    timestamp: int = Field(description="Unix milliseconds")
    type: str | None = None
    recommendation_id: str | None = None


class UserHistory(BaseModel):
    user_id: str
    history_version: int = Field(description="0 for a user without history")
    events: list[StoredEvent] = Field(description="oldest first")


class ErasureReceipt(BaseModel):
    user_id: str
    keys_removed: int = Field(description="number of keys of this user that were in the store")


class MergeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_user: Id = Field(alias="from", description="the user id to move events from; it is erased")


class MergeReceipt(BaseModel):
    user_id: str
    merged_from: str
    stored: int = Field(description="events that the user did not have yet")
    history_version: int
    keys_removed: int
