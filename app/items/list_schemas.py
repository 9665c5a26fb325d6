"""Response bodies of lists of items: search results and followers."""

from pydantic import BaseModel, ConfigDict, Field


class ListedItem(BaseModel):
    """An item that was found."""

    item_id: str
    title: str | None
    categories: list[str]
    available: bool = Field(description="whether the item may be in answers")


class ItemList(BaseModel):
    """Items that match a search, the best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "item_id": "lantern-coast-3",
                            "title": "The Lantern Coast 3",
                            "categories": ["drama"],
                            "available": True,
                        }
                    ],
                    "complete": True,
                }
            ]
        }
    )

    items: list[ListedItem]
    complete: bool = Field(description="whether these are all items that match")


class Popularity(BaseModel):
    """How often an item was chosen in training."""

    events: int
    rank: int | None = Field(description="1 = the most popular; null if the serving model does not know the item")
    items: int = Field(description="items that the serving model knows")


class Follower(BaseModel):
    """An item that users chose after another one."""

    item_id: str
    weight: float = Field(description="its probability in training, within the next events after the item")


class ItemFollowers(BaseModel):
    """Popularity of an item, and the items that followed it most often in training."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "lantern-coast-3",
                    "popularity": {"events": 412, "rank": 17, "items": 3706},
                    "followers": [{"item_id": "lantern-coast-4", "weight": 0.31}],
                }
            ]
        }
    )

    item_id: str
    popularity: Popularity
    followers: list[Follower] = Field(
        description="available items, the most frequent first; empty if the model has no transition memory"
    )
