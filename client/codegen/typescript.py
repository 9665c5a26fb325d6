"""`typescript/nextup.d.ts`: all schemas as interfaces, and the operations with their bodies and answers."""

import re
import textwrap
from collections.abc import Iterator

from codegen.document import Document, OperationSpec, Schema, get_reference, list_alternatives
from codegen.python_types import NOTE, format_value

SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
NAME = re.compile(r"[A-Za-z_$][\w$]*")


def write_declarations(document: Document) -> str:
    schemas = dict(sorted({**document.request_schemas, **document.answer_schemas}.items()))
    lines = [
        f"// {NOTE}",
        "",
        *(line for name, schema in schemas.items() for line in _write_schema(name, schema)),
        "/** Operations of the service by their ids. */",
        "export interface Operations {",
        *(line for spec in document.operations for line in _write_operation(spec)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _write_schema(name: str, schema: Schema) -> Iterator[str]:
    yield from _write_comment(schema.get("description", ""), "")
    if "properties" not in schema:
        yield f"export type {name} = {_format_type(schema)};"
        yield ""
        return
    required = schema.get("required", [])
    yield f"export interface {name} {{"
    for field, content in schema["properties"].items():
        yield from _write_comment(content.get("description", ""), "  ")
        mark = "" if field in required else "?"
        yield f"  {field if NAME.fullmatch(field) else format_value(field)}{mark}: {_format_type(content)};"
    yield "}"
    yield ""


def _write_operation(spec: OperationSpec) -> Iterator[str]:
    yield from _write_comment(spec.summary, "  ")
    yield f"  {spec.name}: {{"
    yield f"    method: {format_value(spec.method)};"
    yield f"    path: {format_value(spec.path)};"
    if spec.path_parameters:
        yield f"    parameters: {{ {'; '.join(f'{name}: string' for name in spec.path_parameters)} }};"
    if spec.query:
        fields = "; ".join(f"{name}?: {_format_type(schema)}" for name, schema in spec.query.items())
        yield f"    query: {{ {fields} }};"
    if spec.body is not None:
        yield f"    body: {spec.body};"
    yield f"    answer: {spec.answer};"
    yield "  };"


def _format_type(schema: Schema) -> str:
    parts = list(dict.fromkeys(_format_alternative(part) for part in list_alternatives(schema)))
    return " | ".join(sorted(parts, key=lambda part: part == "null"))


def _format_alternative(schema: Schema) -> str:
    if (name := get_reference(schema)) is not None:
        return name
    if "const" in schema:
        return format_value(schema["const"])
    if "enum" in schema:
        return " | ".join(format_value(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        items = _format_type(schema.get("items", {}))
        return f"({items})[]" if "|" in items else f"{items}[]"
    if kind == "object":
        patterns = list(schema.get("patternProperties", {}).values())
        values = schema.get("additionalProperties", patterns[0] if patterns else None)
        return f"Record<string, {_format_type(values) if isinstance(values, dict) else 'unknown'}>"
    return SCALARS[kind] if kind is not None else "unknown"


def _write_comment(text: str, indent: str) -> Iterator[str]:
    lines = textwrap.wrap(text.replace("*/", "* /"), 116 - len(indent), break_long_words=False, break_on_hyphens=False)
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}" for line in lines)
        yield f"{indent} */"
