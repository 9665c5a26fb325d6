"""Batches of queries for several versions: each answers those that name it, the serving one all others.

A query that the other version cannot answer is answered by the serving version, and its answer says so.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Protocol

from app.inference.isolated_batches import BatchResults
from app.inference.query import Query, SimilarQuery, TopItems
from app.telemetry.version_metrics import RESIDENT_FAILURES

log = logging.getLogger("nextup")

LOG_INTERVAL_S = 10.0


class BatchRunner(Protocol):
    """Answers queries with one version."""

    @property
    def version(self) -> str: ...

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> BatchResults: ...


class RoutedBatches:
    """Runs batches on several versions; any thread may use it, one at a time."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def run(
        self, serving: BatchRunner, residents: Mapping[str, BatchRunner], queries: Sequence[Query | SimilarQuery]
    ) -> BatchResults:
        """Return one answer or error per query, in order; `residents` are further versions, by their names."""
        rows_by_version: dict[str, list[int]] = defaultdict(list)
        for row, query in enumerate(queries):
            version = query.version if isinstance(query, Query) else None
            rows_by_version[version if version is not None and version in residents else serving.version].append(row)
        results: dict[int, TopItems | Exception] = {}
        serving_rows = rows_by_version.pop(serving.version, [])
        for version, rows in rows_by_version.items():
            answers = residents[version].run_batch([queries[row] for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                if (problem := _find_problem(answer)) is None:
                    results[row] = answer
                else:
                    serving_rows.append(row)
                    self._report(version, problem)
        if serving_rows:
            answers = serving.run_batch([queries[row] for row in serving_rows])
            results |= dict(zip(serving_rows, answers, strict=True))
        return [results[row] for row in range(len(queries))]

    def _report(self, version: str, problem: str) -> None:
        """Count a failure, and log at most one per interval: each query may fail."""
        RESIDENT_FAILURES.inc()
        if time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            log.error("version %s of the experiment failed; the serving version answers instead: %s", version, problem)


def _find_problem(answer: TopItems | Exception) -> str | None:
    if isinstance(answer, Exception):
        return repr(answer)[:200]
    return None if all(map(isfinite, answer.scores)) else "a score is not finite"
