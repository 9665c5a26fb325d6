"""Single items of a request: validated one by one, and their outcomes."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from app.errors import FieldError, InvalidRequest
from app.http.body_shapes import parse_entry
from app.http.field_problems import FieldProblem, format_detail, list_field_problems
from app.http.field_types import MAX_ID_CHARACTERS
from app.items.schemas import MAX_ATTRIBUTES, MAX_FIELD_ERRORS, MAX_ITEM_BYTES, Item, ItemPatch, ItemResult

FAILURES = {
    "full": "the live catalogue is full (NEXTUP_CATALOGUE_MAX_ITEMS); delete items or raise the limit",
    "conflict": "other requests kept changing the item; send it again",
}
Entry = TypeVar("Entry", Item, ItemPatch)


def parse_item(raw: Any, model: type[Entry]) -> Entry | ItemResult:
    """Validate one item; an ItemResult for an item that is invalid."""
    item_id: str | None = None
    try:
        if isinstance(raw, msgspec.Raw) and len(bytes(raw)) > MAX_ITEM_BYTES:
            raise InvalidRequest.for_field("body", f"an item must have at most {MAX_ITEM_BYTES:,} bytes")
        values = parse_entry(raw, model)
        item_id = _find_id(values)
        return model.model_validate(values)
    except ValidationError as error:
        return _make_invalid(item_id, list_field_problems(error.errors(include_url=False), model, MAX_FIELD_ERRORS))
    except InvalidRequest as error:  # large, and its shape is wrong
        return _make_invalid(item_id, error.errors)


def make_result(item_id: str, outcome: str, *, is_known: bool) -> ItemResult:
    """Make the result of a valid item from the outcome of the store."""
    if outcome == "refused":
        problem = f"the item would have more than {MAX_ATTRIBUTES} attributes or {MAX_ITEM_BYTES:,} bytes; remove some"
        errors = [FieldProblem(field="attributes", detail=problem)]
        return ItemResult(item_id=item_id, status="invalid", detail=f"attributes: {problem}", errors=errors)
    if outcome in FAILURES:
        return ItemResult(item_id=item_id, status="failed", known_item=is_known, detail=FAILURES[outcome])
    return ItemResult.model_validate({"item_id": item_id, "status": outcome, "known_item": is_known})


def _find_id(values: Any) -> str | None:
    """Find the id of an item whose other fields may be wrong."""
    item_id = values.get("item_id") if isinstance(values, dict) else None
    item_id = str(item_id) if type(item_id) is int else item_id
    is_id = isinstance(item_id, str) and item_id.isprintable() and 0 < len(item_id) <= MAX_ID_CHARACTERS
    return str(item_id) if is_id else None


def _make_invalid(item_id: str | None, problems: Sequence[FieldError]) -> ItemResult:
    problems = [{**problem, "field": "item"} if problem["field"] == "body" else problem for problem in problems]
    errors = [FieldProblem(**problem) for problem in problems]
    detail = format_detail(problems, MAX_FIELD_ERRORS)
    return ItemResult(item_id=item_id, status="invalid", detail=detail, errors=errors)
