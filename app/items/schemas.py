"""Request and response bodies of /items."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SkipValidation,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.http.field_problems import FieldProblem
from app.http.field_types import NewId

MAX_ITEMS = 1000
MAX_FIELD_ERRORS = 10
"""Most invalid fields that the result of one item lists."""
MAX_CATEGORIES = 32
MAX_ATTRIBUTES = 32
MAX_ITEM_BYTES = 32_768
"""Of an item in a request, and of a record after a patch."""
MAX_INTEGER = 2**53
"""Filters compare numbers as float64, which represents every integer up to this one."""
WEB_ADDRESS = r"^https?://[^\s]+$"

ATTRIBUTE_VALUES = (
    "must be true, false, a finite number (an integer from -2^53 to 2^53), a text of at most 256 characters, "
    "or at most 32 texts of at most 128 characters"
)


def validate_attribute(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Give one reason for a wrong value, not one per type; a float must not stand in for a large integer."""
    if type(value) is int and abs(value) > MAX_INTEGER:
        raise ValueError(ATTRIBUTE_VALUES)
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(ATTRIBUTE_VALUES) from None


Title = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Category = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Categories = Annotated[list[Category], Field(max_length=MAX_CATEGORIES)]
WebAddress = Annotated[str, StringConstraints(max_length=2048, pattern=WEB_ADDRESS)]
RESERVED_NAMES = frozenset({"available", "categories"})
"""Fields that filters name like attributes."""


def _check_name(name: str) -> str:
    if name in RESERVED_NAMES:
        raise ValueError(f"{name} is a field of the item; set it outside of attributes")
    return name


AttributeName = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$"), AfterValidator(_check_name)
]
Number = (
    Annotated[StrictInt, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)] | Annotated[StrictFloat, Field(allow_inf_nan=False)]
)
Text = Annotated[StrictStr, StringConstraints(max_length=256)]
Texts = Annotated[list[Annotated[StrictStr, StringConstraints(max_length=128)]], Field(max_length=32)]
AttributeValue = Annotated[StrictBool | Number | Text | Texts, WrapValidator(validate_attribute)]
AttributeChange = Annotated[StrictBool | Number | Text | Texts | None, WrapValidator(validate_attribute)]
_ATTRIBUTES = dict[str, bool | int | float | str | list[str] | None]
"""Shape of the attributes in an entry that is too large to be parsed freely."""

_EXAMPLE: dict[str, Any] = {
    "item_id": "lantern-coast-3",
    "title": "The Lantern Coast 3",
    "categories": ["drama"],
    "available": True,
    "attributes": {"price": 7.5, "released": "2026-05-01T00:00:00Z", "languages": ["en", "fr"]},
}


class Item(BaseModel):
    """An item as `PUT /items` sets it: a field that is absent has its default."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})
    SHAPES: ClassVar[Mapping[str, Any]] = {"attributes": _ATTRIBUTES}

    item_id: NewId
    title: Title | None = Field(default=None, description="absent or null: the title of the model's catalogue")
    categories: Categories | None = Field(default=None, description="absent or null: those of the model's catalogue")
    available: StrictBool = Field(default=True, description="false: the item is in no answer")
    attributes: Annotated[dict[AttributeName, AttributeValue], Field(max_length=MAX_ATTRIBUTES)] = Field(
        default_factory=dict,
        description="numbers, booleans, texts and lists of texts by name; a text that is an RFC 3339 time is a time",
    )
    url: WebAddress | None = None
    image_url: WebAddress | None = None


class ItemPatch(BaseModel):
    """Changes of an item: a field that is absent stays as it is, null sets its default or removes an attribute."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"item_id": "lantern-coast-3", "available": False}]}
    )
    SHAPES: ClassVar[Mapping[str, Any]] = {"attributes": _ATTRIBUTES}

    item_id: NewId
    title: Title | None = None
    categories: Categories | None = None
    available: StrictBool | None = None
    attributes: Annotated[dict[AttributeName, AttributeChange], Field(max_length=MAX_ATTRIBUTES)] | None = None
    url: WebAddress | None = None
    image_url: WebAddress | None = None


class ItemsRequest(BaseModel):
    """1 to 1,000 items."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": [_EXAMPLE]}]})

    # Validated one by one in the service: an item that is wrong is `invalid`, and the others are stored.
    items: Annotated[list[SkipValidation[Item]], Field(min_length=1, max_length=MAX_ITEMS)]


class ItemPatchesRequest(BaseModel):
    """Changes of 1 to 1,000 items."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"item_id": "i9", "available": False}]}]}
    )

    items: Annotated[list[SkipValidation[ItemPatch]], Field(min_length=1, max_length=MAX_ITEMS)]


class ItemResult(BaseModel):
    """Outcome of one item."""

    item_id: str | None = Field(description="null if the item is invalid and its id cannot be read")
    status: Literal["created", "updated", "unchanged", "invalid", "failed"] = Field(
        description="unchanged: the live catalogue already says so; failed: it is full, or others keep changing it"
    )
    known_item: bool | None = Field(
        default=None, description="whether the serving model knows the item; absent if the item is invalid"
    )
    detail: str | None = Field(default=None, description="why the item is not stored")
    errors: list[FieldProblem] | None = Field(
        default=None, max_length=MAX_FIELD_ERRORS, description="invalid fields of the item"
    )
    warnings: list[FieldProblem] | None = Field(
        default=None,
        max_length=MAX_FIELD_ERRORS,
        description="fields that are stored but probably meant otherwise, such as a text in an attribute that most "
        "items give as a number; absent if there are none",
    )


class ItemsResponse(BaseModel):
    """Outcome of each item, and how often each outcome occurred."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [{"item_id": "lantern-coast-3", "status": "created", "known_item": True}],
                    "created": 1,
                    "updated": 0,
                    "unchanged": 0,
                    "invalid": 0,
                    "failed": 0,
                }
            ]
        }
    )

    results: list[ItemResult] = Field(description="one per item, in the order of the request")
    created: int
    updated: int
    unchanged: int
    invalid: int
    failed: int


class RemovedItem(BaseModel):
    """An item whose record was removed from the live catalogue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "lantern-coast-3", "status": "removed"}]})

    item_id: str
    status: Literal["removed"] = "removed"


class CatalogueItem(BaseModel):
    """An item of the serving version, of the live catalogue, or of both, which the live catalogue then decides."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"rank": 17, "count": 412, "url": None, "image_url": None}]}
    )

    item_id: str
    title: str | None
    categories: list[str]
    rank: int | None = Field(description="1 = the most popular in training; null if the serving model does not know it")
    count: int = Field(description="events in training")
    available: bool = Field(description="whether the item may be in answers")
    attributes: dict[str, bool | int | float | str | list[str]]
    url: str | None = None
    image_url: str | None = None
