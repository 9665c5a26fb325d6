"""Compares a new version with the serving one before it serves: errors, latency and overlap on the same queries.

Both versions run in the thread that loaded the new one, query by query in turn, so that other work on the machine
slows down both alike. Golden outputs were checked before, by the load.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from app.errors import ArtifactRejected
from app.inference.comparison import Comparison
from app.inference.query import Query, TopItems
from app.inference.servable import Servable
from app.telemetry.version_metrics import SHADOW_LATENCY_RATIO, SHADOW_OVERLAP, SHADOW_QUERIES

log = logging.getLogger("nextup")

MIN_QUERIES = 16
"""With fewer recent queries, the golden histories of the serving version are compared as well."""
BUDGET_S = 10.0
"""Time after which the queries that have been compared decide."""
SERVING_TIMEOUT_S = 2.0
"""Longest wait for a batch of the serving version."""
MIN_LATENCY_S = 0.002
"""A serving version that is faster counts as this slow: a ratio of fractions of a millisecond says nothing."""
LOW_OVERLAP = 0.1
"""Mean overlap below which a warning says that the answers are new."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_latency_ratio` and `min_overlap` reject a version, 0 turns each off; not `is_strict` checks errors only."""

    max_latency_ratio: float = 5.0
    min_overlap: float = 0.0
    is_strict: bool = True


@dataclass(frozen=True, slots=True)
class _Pair:
    serving_s: float
    candidate_s: float
    overlap: float | None
    error: str | None


def compare_versions(serving: Servable, candidate: Servable, recent: Sequence[Query]) -> Comparison:
    """Ask both versions; queries at which the serving version fails do not count."""
    queries = list(recent)
    if len(queries) < MIN_QUERIES:
        queries += serving.list_golden_queries()
    deadline = time.monotonic() + BUDGET_S
    pairs: list[_Pair] = []
    num_recent = 0
    for number, query in enumerate(queries):
        if time.monotonic() > deadline:
            break
        pair = _compare(serving, candidate, query)
        if pair is not None:
            pairs.append(pair)
            num_recent += number < len(recent)
    overlaps = [pair.overlap for pair in pairs if pair.overlap is not None]
    errors = [pair.error for pair in pairs if pair.error is not None]
    serving_s = median([pair.serving_s for pair in pairs]) if pairs else 0.0
    candidate_s = median([pair.candidate_s for pair in pairs]) if pairs else 0.0
    return Comparison(
        serving_version=serving.version,
        queries=len(pairs),
        recent_queries=num_recent,
        errors=len(errors),
        first_error=errors[0] if errors else None,
        overlap=round(fmean(overlaps), 4) if overlaps else None,
        serving_ms=round(1e3 * serving_s, 3),
        candidate_ms=round(1e3 * candidate_s, 3),
        latency_ratio=round(candidate_s / max(serving_s, MIN_LATENCY_S), 3),
    )


def publish_comparison(version: str, comparison: Comparison) -> None:
    """Log the comparison and set its metrics."""
    SHADOW_QUERIES.labels("ok").inc(comparison.queries - comparison.errors)
    SHADOW_QUERIES.labels("error").inc(comparison.errors)
    SHADOW_LATENCY_RATIO.set(comparison.latency_ratio)
    if comparison.overlap is not None:
        SHADOW_OVERLAP.set(comparison.overlap)
    is_new = comparison.overlap is not None and comparison.overlap < LOW_OVERLAP
    log.log(
        logging.WARNING if is_new else logging.INFO,
        "version %s compared with version %s on %d queries (%d recent requests): %d errors, overlap %s, %g ms instead "
        "of %g ms%s",
        version,
        comparison.serving_version,
        comparison.queries,
        comparison.recent_queries,
        comparison.errors,
        "unknown" if comparison.overlap is None else f"{comparison.overlap:.1%}",
        comparison.candidate_ms,
        comparison.serving_ms,
        "; the answers are mostly new, set NEXTUP_SHADOW_MIN_OVERLAP to reject such versions" if is_new else "",
    )


def check_comparison(version: str, comparison: Comparison, limits: Limits) -> None:
    """ArtifactRejected if the version fails, is too slow or answers too differently."""
    against = f"version {version} was compared with version {comparison.serving_version}"
    if comparison.errors:
        raise ArtifactRejected(
            f"{against}: {comparison.errors} of {comparison.queries} queries fail ({comparison.first_error}); train or "
            "export the model again"
        )
    if not limits.is_strict:
        return
    if 0 < limits.max_latency_ratio < comparison.latency_ratio:
        raise ArtifactRejected(
            f"{against}: a query takes {comparison.candidate_ms:g} ms instead of {comparison.serving_ms:g} ms, "
            f"{comparison.latency_ratio:g} times as long; publish a faster model or raise "
            f"NEXTUP_SHADOW_MAX_LATENCY_RATIO ({limits.max_latency_ratio:g})"
        )
    if comparison.overlap is not None and comparison.overlap < limits.min_overlap:
        raise ArtifactRejected(
            f"{against}: they have {comparison.overlap:.1%} of their items in common; check the model or lower "
            f"NEXTUP_SHADOW_MIN_OVERLAP ({limits.min_overlap:g})"
        )


def _compare(serving: Servable, candidate: Servable, query: Query) -> _Pair | None:
    expected, serving_s = serving.measure(query, SERVING_TIMEOUT_S)
    if not isinstance(expected, TopItems):
        return None
    top, candidate_s = candidate.measure(query, SERVING_TIMEOUT_S)
    if not isinstance(top, TopItems):
        return _Pair(serving_s, candidate_s, None, repr(top)[:200])
    if (error := find_error(top, query)) is not None:
        return _Pair(serving_s, candidate_s, None, error)
    overlap = None
    if expected.source == "model" and expected.indices:
        overlap = len(set(expected.item_ids) & set(top.item_ids)) / len(expected.indices)
    return _Pair(serving_s, candidate_s, overlap, None)


def find_error(top: TopItems, query: Query) -> str | None:
    """Return why an answer cannot be right; None if nothing is wrong with it. Rules may change the order of scores."""
    scores = np.array(top.scores)
    if not np.isfinite(scores).all():
        return "scores are not finite"
    if query.rules is None and np.any(np.diff(scores) > 0):
        return "scores rise"
    if len(set(top.indices)) < len(top.indices):
        return "an item occurs twice"
    return None
