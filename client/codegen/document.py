"""The OpenAPI document as schemas and operations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Schema = dict[str, Any]

REPEATABLE_POSTS = frozenset({"recommend", "recommend_batch", "find_similar", "ingest_events", "merge_users"})
"""POST operations that have one effect however often they are sent; events have ids.

The promises of the service (docs/promises.md) name events and merges; the others only read.
"""
REPEATABLE_METHODS = frozenset({"GET", "PUT", "PATCH", "DELETE"})
UNREPEATABLE = frozenset({"start_shadow"})
"""Operations of a repeatable method that have an effect each time: a shadow starts again."""


def get_reference(schema: Schema) -> str | None:
    reference: str | None = schema.get("$ref")
    return None if reference is None else reference.rpartition("/")[2]


def list_alternatives(schema: Schema) -> list[Schema]:
    """The alternatives of a union; a schema that is none is its only alternative."""
    alternatives: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return alternatives


def list_references(node: Any) -> Iterator[str]:
    """Yield the names of all schemas that a part of the document refers to."""
    if isinstance(node, dict):
        if isinstance(name := node.get("$ref"), str) and "/schemas/" in name:
            yield name.rpartition("/")[2]
        for key, child in node.items():
            if key != "examples":
                yield from list_references(child)
    elif isinstance(node, list):
        for child in node:
            yield from list_references(child)


@dataclass(frozen=True)
class OperationSpec:
    """One operation; `body` and `answer` are names of schemas."""

    name: str
    method: str
    path: str
    summary: str
    path_parameters: list[str]
    query: dict[str, Schema]
    body: str | None
    answer: str
    has_deadline: bool

    @property
    def is_repeatable(self) -> bool:
        if self.name in UNREPEATABLE:
            return False
        return self.method in REPEATABLE_METHODS or self.name in REPEATABLE_POSTS


class Document:
    """Operations with a JSON answer, and the schemas that they send and receive."""

    def __init__(self, content: Schema) -> None:
        self.schemas: dict[str, Schema] = content["components"]["schemas"]
        self._paths: dict[str, Schema] = content["paths"]

    @cached_property
    def operations(self) -> list[OperationSpec]:
        return list(self._read_operations())

    @cached_property
    def request_schemas(self) -> dict[str, Schema]:
        return self._follow([spec.body for spec in self.operations if spec.body is not None])

    @cached_property
    def answer_schemas(self) -> dict[str, Schema]:
        return self._follow(["Problem", *(spec.answer for spec in self.operations)])

    def _read_operations(self) -> Iterator[OperationSpec]:
        for path, methods in self._paths.items():
            for method, operation in methods.items():
                answer = self._find_answer(operation)
                if answer is None:  # text, such as the metrics
                    continue
                parameters = operation.get("parameters", [])
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                yield OperationSpec(
                    name=operation["operationId"],
                    method=method.upper(),
                    path=path,
                    summary=" ".join(operation["description"].split()),
                    path_parameters=[each["name"] for each in parameters if each["in"] == "path"],
                    query={each["name"]: each["schema"] for each in parameters if each["in"] == "query"},
                    body=get_reference(body),
                    answer=answer,
                    has_deadline=any(each["name"].lower() == "x-request-deadline-ms" for each in parameters),
                )

    def _find_answer(self, operation: Schema) -> str | None:
        for status, response in operation["responses"].items():
            if status < "400":
                return get_reference(response.get("content", {}).get("application/json", {}).get("schema", {}))
        return None

    def _follow(self, names: list[str]) -> dict[str, Schema]:
        """Return these schemas and all that they refer to, in the order of their names."""
        pending, reached = list(names), set[str]()
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending.extend(list_references(self.schemas[name]))
        return {name: self.schemas[name] for name in sorted(reached)}
