"""Response body of /items/{id}."""

from pydantic import BaseModel, Field


class CatalogueItem(BaseModel):
    item_id: str
    title: str | None
    categories: list[str]
    rank: int = Field(description="1 = the most popular in training")
    count: int = Field(description="events in training")
