"""Generated files of the client equal the OpenAPI document of the service, and decode its examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codegen.document import Document, OperationSpec
from codegen.outputs import build_files, read_document
from nextup import AsyncClient, Client, models, routes

CLIENT = Path(__file__).parents[2] / "client"
POSTS_WITH_ONE_EFFECT = {"recommend", "recommend_batch", "find_similar", "ingest_events", "merge_users"}
EACH_HAS_AN_EFFECT = {"activate_model", "conclude_experiment", "start_shadow"}
"""Operations that a client must not repeat by itself; a new POST operation belongs into one of the two sets."""


@pytest.fixture(scope="module")
def document() -> Document:
    return read_document()


def test_generated_files_are_fresh(document: Document) -> None:
    stale = [name for name, text in build_files(document).items() if (CLIENT / name).read_text() != text]
    assert stale == [], "run `python client/generate.py`"


def test_every_operation_has_a_method_in_both_clients(document: Document) -> None:
    for spec in document.operations:
        assert callable(getattr(Client, spec.name))
        assert callable(getattr(AsyncClient, spec.name))
        assert getattr(routes, spec.name.upper()).path == spec.path


def test_only_operations_with_one_effect_are_repeated(document: Document) -> None:
    assert {spec.name for spec in document.operations if not spec.is_repeatable} == EACH_HAS_AN_EFFECT
    posts = {spec.name for spec in document.operations if spec.method == "POST"}
    assert posts == POSTS_WITH_ONE_EFFECT | EACH_HAS_AN_EFFECT - {"start_shadow"}


def list_answer_examples(document: Document) -> Iterator[tuple[OperationSpec, Any]]:
    for spec in document.operations:
        for example in document.schemas[spec.answer]["examples"]:
            yield spec, example


def test_answers_decode_and_ignore_fields_of_newer_services(document: Document) -> None:
    for spec, example in list_answer_examples(document):
        answer = msgspec.convert({**example, "field_of_a_newer_service": 1}, getattr(routes, spec.name.upper()).answer)
        assert isinstance(answer, getattr(models, spec.answer)), spec.name


def test_values_that_a_newer_service_adds_to_an_enumeration_are_read() -> None:
    answer = models.PlacementReceipt(name="home", status="created")
    content = msgspec.json.encode(answer).replace(b"created", b"archived")
    assert msgspec.json.decode(content, type=models.PlacementReceipt).status == "archived"  # type: ignore[comparison-overlap]  # of a newer service


def test_declarations_name_every_schema_and_operation(document: Document) -> None:
    text = (CLIENT / "typescript/nextup.d.ts").read_text()
    for name in {**document.request_schemas, **document.answer_schemas}:
        assert f"export interface {name} {{" in text or f"export type {name} =" in text
    assert all(f"\n  {spec.name}: {{\n" in text for spec in document.operations)
