"""`nextup/models.py` and `nextup/requests.py`: answers as structs, and bodies of requests as typed dictionaries."""

from collections.abc import Iterator

from codegen.document import Document, Schema, get_reference, list_alternatives
from codegen.python_types import (
    NOTE,
    capitalize,
    escape_name,
    format_annotation,
    format_literal,
    format_text,
    format_value,
)


def write_models(document: Document) -> str:
    schemas = document.answer_schemas
    names = ["Answer"]
    bodies = [
        line for name, schema in schemas.items() if "properties" in schema for line in _write_struct(name, schema)
    ]
    if any("read_entries(" in line for line in bodies):
        names.append("read_entries")
    head = [
        '"""Answers of the service.',
        "",
        NOTE,
        "Type checkers see the values of an enumeration; at run time it is any text, as a newer service may have more.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_write_imports(bodies, ("Any", "Literal"), always=("TYPE_CHECKING", "Literal", "Any", "TypeAlias")),
        f"from nextup.answer import {', '.join(names)}",
        "",
        "if TYPE_CHECKING:",
        *(f"    {name} = {values}" for name, values in _list_enumerations(schemas)),
        *(f'    {name}: TypeAlias = "{union}"' for name, union in _list_unions(schemas)),
        "else:",
        *(f"    {name} = str" for name, _ in _list_enumerations(schemas)),
        *(f"    {name} = Any" for name, _ in _list_unions(schemas)),
        "",
    ]
    return _join([*head, *bodies])


def _list_enumerations(schemas: dict[str, Schema]) -> Iterator[tuple[str, str]]:
    for name, schema in schemas.items():
        if "enum" in schema:
            yield name, format_literal(schema)
        for field, content in schema.get("properties", {}).items():
            if any("enum" in part for part in list_alternatives(content)):
                (part,) = (part for part in list_alternatives(content) if "enum" in part)
                yield name + capitalize(field), format_literal(part)


def _list_unions(schemas: dict[str, Schema]) -> Iterator[tuple[str, str]]:
    """Yield the types of entries that have one of several models, without a field that names it."""
    for name, schema in schemas.items():
        for content in schema.get("properties", {}).values():
            if models := _find_models(content):
                yield f"{name}Entry", " | ".join(models)


def _write_struct(name: str, schema: Schema) -> Iterator[str]:
    yield ""
    yield f"class {name}(Answer, frozen=True, kw_only=True):"
    yield from format_text(schema.get("description", name), "    ")
    yield ""
    required = schema.get("required", [])
    unions = {}
    for field, content in schema["properties"].items():
        assert escape_name(field) == field, f"{name}.{field} is a keyword of Python"
        annotation = format_annotation(content, is_request=False, enumeration=name + capitalize(field))
        if models := _find_models(content):
            unions[field] = models
            annotation = f"list[{name}Entry]"
        default = "" if field in required else f" = {format_value(content.get('default'))}"
        yield f"    {field}: {annotation}{default}"
        if "description" in content:
            yield from format_text(content["description"], "    ")
    if unions:
        yield ""
        yield "    def __post_init__(self) -> None:"
        for field, models in unions.items():
            yield f'        read_entries(self, "{field}", ({", ".join(models)}))'
    yield ""


def _find_models(schema: Schema) -> list[str]:
    """Find the models that the entries of a list may have, if there are several: no field says which one it is."""
    names = [get_reference(part) for part in list_alternatives(schema.get("items", {}))]
    return [name for name in names if name is not None] if len(names) > 1 else []


def write_requests(document: Document) -> str:
    schemas = document.request_schemas
    bodies = [line for name, schema in schemas.items() for line in _write_dictionary(name, schema)]
    head = [
        '"""Bodies of requests.',
        "",
        NOTE,
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_write_imports(bodies, ("Any", "Literal", "Required", "TypedDict")),
    ]
    return _join([*head, *bodies])


def _write_dictionary(name: str, schema: Schema) -> Iterator[str]:
    yield ""
    if "properties" not in schema:
        yield f"{name} = {format_annotation(schema, is_request=True)}"
        return
    yield f"class {name}(TypedDict, total=False):"
    yield from format_text(schema.get("description", name), "    ")
    yield ""
    for field, content in schema["properties"].items():
        annotation = format_annotation(content, is_request=True)
        if field in schema.get("required", []):
            annotation = f"Required[{annotation}]"
        yield f"    {escape_name(field)}: {annotation}"
        if "description" in content:
            yield from format_text(content["description"], "    ")
    yield ""


def _write_imports(lines: list[str], typing_names: tuple[str, ...], *, always: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the imports of the names that the lines use."""
    code = "\n".join(lines)
    collections = [name for name in ("Mapping", "Sequence") if f"{name}[" in code]
    if collections:
        yield f"from collections.abc import {', '.join(collections)}"
    if "datetime" in code.replace("date-time", ""):
        yield "from datetime import datetime"
    names = [name for name in typing_names if any(f"{name}{end}" in code for end in ("[", "]", ", "))]
    names += [name for name in always if name not in names]
    if names:
        yield f"from typing import {', '.join(sorted(names, key=lambda name: (not name.isupper(), name)))}"
    yield ""


def _join(lines: list[str]) -> str:
    """Join lines with two empty lines between classes, as ruff formats them."""
    text = "\n".join(lines).rstrip() + "\n"
    return text.replace("\n\n\nclass", "\n\nclass").replace("\n\nclass", "\n\n\nclass")
