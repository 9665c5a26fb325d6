"""Parsing of request bodies in bounded time.

One call into a parser or validator cannot be interrupted, also not from another thread, so it must be short for every
body: lists of a million lists, a hundred thousand unknown fields and as many wrong values each took seconds. A body of
more than SMALL_BYTES must first have the shape of its model: only known fields, with scalars, lists of texts and
integers, or what the model declares in SHAPES. msgspec ends at the first byte that does not fit, and pydantic, which
gives the reasons, sees what is left.
Lists of separate entries stay unparsed, and each entry is parsed alone. Does not depend on FastAPI.
"""

import json
import re
from functools import lru_cache
from typing import Any, get_args, get_origin

import msgspec
from pydantic import BaseModel

from app.errors import InvalidRequest
from app.http.field_problems import format_path
from app.http.unknown_fields import describe_unknown, find_fields, list_fields

SMALL_BYTES = 4096
"""Bodies and entries up to this size are parsed freely: at most some 600 values can be wrong."""
MAX_FIELDS = 50
"""Most fields of an entry, of which a body may have hundreds; no model has as many."""

UNKNOWN = "Object contains unknown field `"
"""Start of the error of msgspec, before the name, which may contain what looks like a path behind it."""
PATH = re.compile(r"(?:\.\w+|\[(?:[0-9]+|\.\.\.)\])+`", re.ASCII)
"""The path that msgspec appends to an error that is not at the top, such as `.candidates[3]` and a quote."""
_Values = str | int | float | bool | list[str | int] | None


def parse_entry(entry: Any, model: type[BaseModel]) -> Any:
    """Parse one entry of a list that `parse_shape` has left unparsed; an entry of a small body is parsed already."""
    value = parse_shape(bytes(entry), model) if isinstance(entry, msgspec.Raw) else entry
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        fields = list_fields(model)
        name = next(name for name in value if name not in fields)
        raise InvalidRequest.for_field(format_path([name]), describe_unknown(name, fields))
    return value


def parse_shape(content: bytes, model: type[BaseModel]) -> Any:
    """Parse JSON with the fields of `model`: scalars, lists of texts and integers, or of unparsed entries."""
    try:
        if len(content) <= SMALL_BYTES:
            return json.loads(content)
        shape = _build_decoder(model).decode(content)
    except msgspec.ValidationError as error:
        raise _describe_wrong_shape(str(error), model) from error
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


def _describe_wrong_shape(error: str, model: type[BaseModel]) -> InvalidRequest:
    reason, _, path = error.rpartition(" - at `$")
    if not PATH.fullmatch(path):
        reason, path = error, ""
    location = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", path, re.ASCII)]
    if reason.startswith(UNKNOWN):
        name = reason.removeprefix(UNKNOWN).removesuffix("`")
        problem = describe_unknown(name, find_fields(model, location))
        return InvalidRequest.for_field(format_path([*location, name]), problem)
    return InvalidRequest.for_field(format_path(location), reason)
