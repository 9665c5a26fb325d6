"""Response body of /items/{id}."""

from pydantic import BaseModel, ConfigDict, Field


class CatalogueItem(BaseModel):
    """An item of the serving version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "lantern-coast-3",
                    "title": "The Lantern Coast 3",
                    "categories": ["drama"],
                    "rank": 17,
                    "count": 412,
                }
            ]
        }
    )

    item_id: str
    title: str | None
    categories: list[str]
    rank: int = Field(description="1 = the most popular in training")
    count: int = Field(description="events in training")
