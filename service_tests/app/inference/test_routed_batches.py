"""A batch for several versions: each answers its own queries, and the serving one those that another one fails."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.inference.isolated_batches import BatchResults
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.routed_batches import RoutedBatches
from service_tests.support.artifacts import tiny_catalogue

CATALOGUE = tiny_catalogue(5)
NO_POSITIONS = np.empty(0, dtype=np.int64)


class ScriptedVersion:
    """Answers with `k` as its only score; fails for the values of k in `failing`, in one of two ways."""

    def __init__(self, version: str, failing: frozenset[int] = frozenset()) -> None:
        self.version = version
        self._failing = failing
        self.batches = 0

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> BatchResults:
        self.batches += 1
        return [self._answer(query.k) for query in queries]

    def _answer(self, k: int) -> TopItems | Exception:
        if k in self._failing and k % 2:
            return RuntimeError("no memory")
        score = float("nan") if k in self._failing else float(k)
        return TopItems([1], [score], "model", NO_POSITIONS, self.version, CATALOGUE)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([None, "serving", "b", "c", "unknown"])), max_size=12),
    st.frozensets(st.integers(1, 9)),
)
def test_every_query_is_answered_in_order_by_its_version_or_the_serving_one(
    queries: list[tuple[int, str | None]], failing: frozenset[int]
) -> None:
    serving = ScriptedVersion("serving")
    residents = {"b": ScriptedVersion("b", failing), "c": ScriptedVersion("c")}
    batch = [Query(history=np.empty(0, dtype="<u8"), k=k, version=version) for k, version in queries]
    results = RoutedBatches().run(serving, residents, batch)
    for (k, version), result in zip(queries, results, strict=True):
        assert isinstance(result, TopItems)
        assert result.scores == [k]
        expected = version if version in residents and (version == "c" or k not in failing) else "serving"
        assert result.version == expected
    assert all(version.batches <= 1 for version in (serving, *residents.values()))


def test_failure_of_the_serving_version_is_not_hidden() -> None:
    batch: list[Query | SimilarQuery] = [
        Query(history=np.empty(0, dtype="<u8"), k=1, version="b"),
        SimilarQuery("i1", 2),
    ]
    failing = frozenset({1})
    results = RoutedBatches().run(ScriptedVersion("serving", failing), {"b": ScriptedVersion("b", failing)}, batch)
    assert isinstance(results[0], RuntimeError)
    assert isinstance(results[1], TopItems)
