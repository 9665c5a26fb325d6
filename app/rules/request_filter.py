"""The field `filter` of requests: a JSON object until the service parses it."""

import json
from typing import Annotated, Any

import msgspec
from pydantic import PlainValidator, WithJsonSchema

from app.errors import InvalidRequest
from app.http.field_types import NOT_UNICODE
from app.inference import Engine
from app.inference.filters import FilterError, ItemFilter, parse_filter
from app.inference.filters.parsing import MAX_BYTES
from app.inference.live.attributes import MAX_NAMES


def _read_object(value: Any) -> Any:
    """Return the object; a large body leaves it unparsed, so that its size is bounded first."""
    if isinstance(value, msgspec.Raw):
        if len(bytes(value)) > MAX_BYTES:
            raise ValueError(f"must have at most {MAX_BYTES:,} bytes (got {len(bytes(value)):,})")
        value = json.loads(bytes(value))
    if not isinstance(value, dict):
        raise ValueError("must be an object such as {'attribute': 'price', 'lt': 50}")
    return value


FILTER = (
    "return only items that match: all, any and not of filters, or an attribute with eq, in, lt, lte, gt, gte, "
    "contains_any, contains_all or exists"
)
FILTER_SHAPE = msgspec.Raw
"""Shape of the field in a large body."""
FilterObject = Annotated[dict[str, Any], PlainValidator(_read_object), WithJsonSchema({"type": "object"})]


class FilterReader:
    """Reads the filters of requests to one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, value: dict[str, Any] | None) -> ItemFilter | None:
        """Parse the filter of a request; InvalidRequest names the part that is wrong."""
        return None if value is None else self.parse(value, "filter")

    def parse(self, value: dict[str, Any], path: str) -> ItemFilter:
        """Parse a filter at a path of the request; InvalidRequest names the part that is wrong."""
        try:
            item_filter = parse_filter(msgspec.json.encode(value), path)
        except FilterError as error:
            raise InvalidRequest.for_field(error.path, error.reason) from None
        except RecursionError:
            raise InvalidRequest.for_field(path, "is nested too deep") from None
        except UnicodeEncodeError:
            raise InvalidRequest.for_field(path, NOT_UNICODE) from None
        left_out = self._engine.servable.live.live.attributes.left_out
        for name in sorted(item_filter.attributes & left_out):
            raise InvalidRequest.for_field(
                path, f"cannot use attribute {name!r}: the items have more than {MAX_NAMES} names of attributes"
            )
        return item_filter
