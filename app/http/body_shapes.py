"""Parsing of request bodies in bounded time.

One call into a parser or validator cannot be interrupted, also not from another thread, so it must be short for every
body: lists of a million lists, a hundred thousand unknown fields and as many wrong values each took seconds. A body of
more than SMALL_BYTES must first have the shape of its model: only known fields, with scalars, lists of texts and
integers, or what the model declares in SHAPES. msgspec ends at the first byte that does not fit, and pydantic, which
gives the reasons, sees what is left.
Lists of separate entries stay unparsed, and each entry is parsed alone. Does not depend on FastAPI.
"""

import json
from functools import lru_cache
from typing import Any, get_args, get_origin

import msgspec
from pydantic import BaseModel

from app.errors import InvalidRequest

SMALL_BYTES = 4096
"""Bodies and entries up to this size are parsed freely: at most some 600 values can be wrong."""
MAX_FIELDS = 50
"""Most fields of an entry, of which a body may have hundreds; no model has as many."""

_Values = str | int | float | bool | list[str | int] | None


def parse_entry(entry: Any, model: type[BaseModel]) -> Any:
    """Parse one entry of a list that `parse_shape` has left unparsed; an entry of a small body is parsed already."""
    value = parse_shape(bytes(entry), model) if isinstance(entry, msgspec.Raw) else entry
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise InvalidRequest.for_field("body", f"has {len(value)} fields; most of them are unknown")
    return value


def parse_shape(content: bytes, model: type[BaseModel]) -> Any:
    """Parse JSON with the fields of `model`: scalars, lists of texts and integers, or of unparsed entries."""
    try:
        if len(content) <= SMALL_BYTES:
            return json.loads(content)
        shape = _build_decoder(model).decode(content)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidRequest.for_field(_format_path(path), reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InvalidRequest.for_field("body", f"invalid JSON: {error}") from error
    names = zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True)
    values = ((name, getattr(shape, field)) for field, name in names)
    return {name: value for name, value in values if value is not msgspec.UNSET}


@lru_cache(maxsize=64)
def _build_decoder(model: type[BaseModel]) -> msgspec.json.Decoder[Any]:
    fields: list[Any] = []
    names: dict[str, str] = {}
    for name, field in model.model_fields.items():
        values = getattr(model, "SHAPES", {}).get(name, _Values)
        kind = list[msgspec.Raw] if _is_list_of_entries(field.annotation) else values
        fields.append((name, kind | msgspec.UnsetType, msgspec.UNSET))
        names[name] = field.alias or name
    is_closed = model.model_config.get("extra") == "forbid"
    shape = msgspec.defstruct(model.__name__, fields, rename=names, forbid_unknown_fields=is_closed)
    return msgspec.json.Decoder(shape)


def _is_list_of_entries(annotation: Any) -> bool:
    if get_origin(annotation) is not list:
        return False
    entry = get_args(annotation)[0]
    entry = get_args(entry)[0] if get_args(entry) else entry  # Annotated
    return isinstance(entry, type) and issubclass(entry, BaseModel)


def _format_path(path: str) -> str:
    """Convert `.candidates[3]`` to candidates.3."""
    return path.rstrip("`").replace("[", ".").replace("]", "").strip(".") or "body"
