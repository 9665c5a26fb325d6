"""`nextup/routes.py` and the methods of both clients, one per operation."""

from collections.abc import Iterator

from codegen.document import Document, OperationSpec
from codegen.python_types import NOTE, escape_name, format_annotation, format_text


def write_routes(document: Document) -> str:
    answers = sorted({spec.answer for spec in document.operations})
    lines = [
        '"""Method, path, answer and safety of each operation.',
        "",
        NOTE,
        '"""',
        "",
        "from nextup.models import (",
        *(f"    {name}," for name in answers),
        ")",
        "from nextup.route import Route",
        "",
        *(line for spec in document.operations for line in _write_route(spec, document)),
    ]
    return "\n".join(lines) + "\n"


def _write_route(spec: OperationSpec, document: Document) -> Iterator[str]:
    fields = [] if spec.body is None else document.schemas[spec.body]["properties"]
    renamed = {escape_name(field): field for field in fields if escape_name(field) != field}
    arguments = [
        f'"{spec.name}"',
        f'"{spec.method}"',
        f'"{spec.path}"',
        spec.answer,
        *(["is_repeatable=True"] if spec.is_repeatable else []),
        *(["has_deadline=True"] if spec.has_deadline else []),
        *(f'renamed=(("{name}", "{field}"),)' for name, field in renamed.items()),
    ]
    line = f"{spec.name.upper()} = Route({', '.join(arguments)})"
    if len(line) <= 120:
        yield line
        return
    yield f"{spec.name.upper()} = Route("
    yield f"    {', '.join(arguments)}"
    yield ")"


def write_operations(document: Document, *, is_async: bool) -> str:
    specs = document.operations
    answers = sorted({spec.answer for spec in specs})
    requests = sorted({spec.body for spec in specs if spec.body is not None})
    code = [line for spec in specs for line in _write_method(spec, is_async=is_async)]
    uses_literal = any("Literal[" in line for line in code)
    lines = [
        f'"""Methods of `{"AsyncClient" if is_async else "Client"}`, one per operation of the service.',
        "",
        NOTE,
        '"""',
        "",
        "from abc import ABC, abstractmethod",
        "from collections.abc import Mapping",
        f"from typing import Any, {'Literal, ' if uses_literal else ''}TypeVar, Unpack",
        "",
        "from nextup import routes",
        "from nextup.models import (",
        *(f"    {name}," for name in answers),
        ")",
        "from nextup.requests import (",
        *(f"    {name}," for name in requests),
        ")",
        "from nextup.route import Route",
        "",
        'T = TypeVar("T")',
        "",
        "",
        f"class {'AsyncOperations' if is_async else 'Operations'}(ABC):",
        '    """`deadline_s` of every method overrides that of the client."""',
        "",
        "    @abstractmethod",
        f"    {'async ' if is_async else ''}def call(",
        "        self,",
        "        route: Route[T],",
        "        *path_values: str,",
        "        query: Mapping[str, object] | None = None,",
        "        body: Mapping[str, Any] | None = None,",
        "        deadline_s: float | None = None,",
        "    ) -> T:",
        '        """Send a request and return its answer; the methods below are the usual way to call it."""',
        *code,
    ]
    return "\n".join(lines) + "\n"


def _write_method(spec: OperationSpec, *, is_async: bool) -> Iterator[str]:
    names = [escape_name(name) for name in spec.path_parameters]
    parameters = ["self", *(f"{name}: str" for name in names), "*"]
    for name, schema in spec.query.items():
        annotation = format_annotation(schema, is_request=True)
        annotation += "" if annotation.endswith("None") else " | None"
        parameters.append(f"{name}: {annotation} = None")
    parameters.append("deadline_s: float | None = None")
    arguments = [f"routes.{spec.name.upper()}", *names]
    if spec.query:
        arguments.append("query={" + ", ".join(f'"{name}": {name}' for name in spec.query) + "}")
    if spec.body is not None:
        parameters.append(f"**body: Unpack[{spec.body}]")
        arguments.append("body=body")
    arguments.append("deadline_s=deadline_s")
    prefix = "async " if is_async else ""
    yield ""
    head = f"    {prefix}def {spec.name}({', '.join(parameters)}) -> {spec.answer}:"
    if len(head) <= 120:
        yield head
    else:
        yield f"    {prefix}def {spec.name}("
        inner = f"        {', '.join(parameters)}"
        if len(inner) <= 120:
            yield inner
        else:
            yield from (f"        {parameter}," for parameter in parameters)
        yield f"    ) -> {spec.answer}:"
    yield from format_text(spec.summary, "        ")
    call = f"        return {'await ' if is_async else ''}self.call({', '.join(arguments)})"
    if len(call) <= 120:
        yield call
        return
    yield f"        return {'await ' if is_async else ''}self.call("
    yield f"            {', '.join(arguments)}"
    yield "        )"
