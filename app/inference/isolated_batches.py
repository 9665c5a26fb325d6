"""Batches in which a query that fails does not affect the others."""

from collections.abc import Callable
from typing import TypeVar

from app.inference.query import Query, SimilarQuery, TopItems

AnyQuery = TypeVar("AnyQuery", Query, SimilarQuery)
BatchResults = list[TopItems | Exception]


def run_isolated(
    run: Callable[[list[AnyQuery]], BatchResults], numbered: list[tuple[int, AnyQuery]]
) -> dict[int, TopItems | Exception]:
    """Run all queries together; if that raises, run each alone so that only the failing ones get an error."""
    if not numbered:
        return {}
    try:
        results = run([query for _, query in numbered])
    except Exception as error:
        if len(numbered) == 1:
            return {numbered[0][0]: error}
        return {row: result for pair in numbered for row, result in run_isolated(run, [pair]).items()}
    return {row: result for (row, _), result in zip(numbered, results, strict=True)}
