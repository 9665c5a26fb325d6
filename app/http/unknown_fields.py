"""Unknown fields of request bodies: the known field with the most similar name, and the fields of the object.

Does not depend on FastAPI.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typing_extensions import TypeAliasType

MAX_NAME_CHARACTERS = 64
"""Most characters of an unknown name that an error repeats and compares."""
MAX_NAMES = 40
"""Most fields that an error lists; no model has as many."""
MIN_SIMILARITY = 0.61

Location = Sequence[str | int]


def list_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """List the fields of a model by their names in JSON."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def find_fields(annotation: Any, location: Location) -> tuple[str, ...]:
    """Find the fields of the object at `location` in a value of this type; empty if it is no model."""
    types = list(_list_alternatives(annotation))
    for step in location:
        # A step that leads nowhere is the name of an alternative, which Pydantic inserts.
        types = [inner for candidate in types for inner in _follow(candidate, step)] or types
    return next((list_fields(candidate) for candidate in types if _is_model(candidate)), ())


def describe_unknown(name: str, fields: Sequence[str], *, lists_fields: bool = True) -> str:
    """Format the problem of an unknown field: its name, the most similar known one, and all known ones."""
    short_name = name if len(name) <= MAX_NAME_CHARACTERS else f"{name[:MAX_NAME_CHARACTERS]}…"
    compared = name[:MAX_NAME_CHARACTERS].lower().replace("-", "_")
    similar = get_close_matches(compared, fields, n=1, cutoff=MIN_SIMILARITY)
    problem = f"unknown field {short_name!r}" + (f"; did you mean {similar[0]!r}?" if similar else "")
    if not fields or not lists_fields:
        return problem
    more = f" and {len(fields) - MAX_NAMES} more" if len(fields) > MAX_NAMES else ""
    return f"{problem}{'' if similar else ';'} known fields: {', '.join(fields[:MAX_NAMES])}{more}"


def _list_alternatives(annotation: Any) -> Iterator[Any]:
    """List the types that a value of this type may have in JSON."""
    origin = get_origin(annotation)
    if isinstance(annotation, TypeAliasType):
        yield from _list_alternatives(annotation.__value__)
    elif origin is Annotated:
        inner, *metadata = get_args(annotation)
        yield from _list_alternatives(inner)
        yield from _list_inputs(metadata)
    elif origin in (Union, UnionType):
        for alternative in get_args(annotation):
            yield from _list_alternatives(alternative)
    else:
        yield annotation


def _list_inputs(metadata: Iterable[Any]) -> Iterator[Any]:
    """List the types that validators accept in place of the annotated one."""
    for candidate in metadata:
        accepted = getattr(candidate, "json_schema_input_type", PydanticUndefined)
        if accepted is not PydanticUndefined:
            yield from _list_alternatives(accepted)


def _follow(annotation: Any, step: str | int) -> Iterator[Any]:
    """List the types of an element of a list, of a value of a mapping, or of a field of a model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            if step in (field.alias or name, name):
                yield from _list_alternatives(field.annotation)
                yield from _list_inputs(field.metadata)
    elif origin is list and isinstance(step, int):
        yield from _list_alternatives(arguments[0])
    elif origin is dict:
        yield from _list_alternatives(arguments[1])


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
