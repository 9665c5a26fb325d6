"""One version, ready to serve: a predictor with its catalogue; the only place that converts external ids to indices.

Synchronous; a lock lets one thread at a time run the model. The module is longer than 250 lines because loading a
version and all kinds of queries to it are here.
"""

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import ArtifactRejected, NotFound
from app.inference.filters.masks import FilterMasks
from app.inference.interfaces import ModelInfo, SearchSpace
from app.inference.isolated_batches import BatchResults, run_isolated
from app.inference.live.items import LiveItems
from app.inference.live.version_view import VersionView
from app.inference.neighbours import open_neighbours
from app.inference.new_items.batch import BatchSearch
from app.inference.new_items.overlay import Overlay, build_overlay
from app.inference.popularity import (
    NO_INDICES,
    Indices,
    Mask,
    build_allow_mask,
    drop_unknown,
    find_popular_items,
)
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.ruled_search import rank_with_model
from app.runtime.memory import trim_heap
from app.telemetry.explanation_metrics import EXPLANATION_SECONDS, EXPLANATIONS
from app.telemetry.metrics import BATCH_PADDING
from models.artifact import Artifact, ArtifactError, load_artifact
from models.batch import Times
from models.catalogue.item_key import item_keys
from models.manifest import read_baselines
from models.removal import can_explain, explain_items
from models.threads import choose_threads

Scores = NDArray[np.float32] | NDArray[np.float64]
MAX_WARM_UP_LENGTH = 1024  # attention over longer histories takes minutes

_measured_threads: dict[int, int] = {}
"""The measured number of compute threads by the largest allowed number."""


def open_servable(
    folder: Path,
    *,
    device: str,
    threads: int,
    max_batch: int,
    native: bool = True,
    measure_threads: bool = False,
    source: Path | None = None,
    live: LiveItems | None = None,
) -> "Servable":
    """Load, verify and warm up an artifact; ArtifactRejected says why it cannot serve, naming `source` if given.

    Without `live`, every item is as in training.

    `measure_threads` uses fewer than `threads` compute threads where a batch is not slower with them. The first version
    of a process decides, because later ones are loaded while requests are served.
    """
    torch.set_num_threads(_measured_threads.get(threads, threads) if measure_threads else threads)
    try:
        servable = Servable(load_artifact(folder, device=device, native=native, source=source), live)
    except ArtifactError as error:
        raise ArtifactRejected(str(error)) from error
    servable.warm_up(max_batch)
    if measure_threads and servable.device == "cpu" and threads not in _measured_threads:
        _measured_threads[threads] = choose_threads(lambda: servable.warm_up(max_batch), most=threads)
    trim_heap()
    return servable


class Servable:
    def __init__(self, artifact: Artifact, live: LiveItems | None = None) -> None:
        self.artifact = artifact
        self.folder = artifact.folder
        self.version = artifact.version
        self.catalogue = artifact.catalogue
        self.live = VersionView(live or LiveItems(), artifact.catalogue)
        self.filters = FilterMasks(self.live)
        self.followers = open_neighbours(artifact.folder, artifact.catalogue.num_items)
        self.device = artifact.predictor.device
        self.max_len = artifact.predictor.max_len
        self.uncompressed_bytes = artifact.uncompressed_bytes
        self.overlay: Overlay | None = None
        """New items, replaced as a whole; None without any."""
        self._loaded_at = time.time()
        self._predictor = artifact.predictor
        self._key_index = artifact.catalogue.keys
        self._lock = threading.Lock()  # a comparison of versions runs in another thread than batches

    def bytes_by_part(self) -> dict[str, int]:
        return dict(self.artifact.bytes_by_part)

    @property
    def model_info(self) -> ModelInfo:
        artifact, predictor = self.artifact, self._predictor
        return ModelInfo(
            version=artifact.version,
            preset=artifact.preset,
            device=predictor.device,
            dtype=predictor.dtype,
            runner=predictor.runner.name,
            max_len=predictor.max_len,
            created=artifact.manifest["created"],
            figures=artifact.manifest["figures"],
            bytes_by_part=self.bytes_by_part(),
            disk_bytes=sum(file["bytes"] for file in artifact.manifest["files"].values()),
            scoring=predictor.scoring,
            index_recall=predictor.recall,
            loaded_at=self._loaded_at,
            baselines=read_baselines(artifact.manifest),
            vector_bytes=(artifact.uncompressed_bytes - artifact.bytes_by_part["encoder"]) // 2,
        )

    def read_device_memory(self) -> dict[str, int]:
        """Bytes of device memory by kind."""
        return self._predictor.read_device_memory()

    @property
    def search_filters(self) -> FilterMasks:
        """Masks of filters over all items that a recommendation may have."""
        return self.filters if self.overlay is None else self.overlay.space.filters

    def place_new_items(self, limit: int) -> None:
        """Read from the live catalogue which items are new, at most `limit`; in any thread."""
        self.overlay = build_overlay(self.catalogue, self.live, self._predictor, self._lock, limit)

    def warm_up(self, max_batch: int) -> None:
        """Run the smallest and largest batch, so that the first requests do not pay for lazy initialization."""
        longest = np.ones(min(self.max_len, MAX_WARM_UP_LENGTH), dtype=np.int64)
        for size in (1, max_batch):
            self._predictor.top_k([longest] * size, 10)

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> BatchResults:
        """Return one answer or one error per query, in order; a query that fails does not affect the others."""
        with self._lock:
            return self._run_batch(queries)

    def measure(self, query: Query, timeout_s: float) -> tuple[TopItems | Exception, float]:
        """Answer one query in any thread, and return the seconds that it took without the wait for a running batch."""
        if not self._lock.acquire(timeout=timeout_s):
            return TimeoutError(f"another batch of version {self.version} runs for more than {timeout_s:g} s"), 0.0
        try:
            started_at = time.perf_counter()
            (result,) = self._run_batch([query])
            return result, time.perf_counter() - started_at
        finally:
            self._lock.release()

    def list_golden_queries(self) -> list[Query]:
        """List the golden histories of the artifact as queries."""
        ids = ([self.catalogue.item_id(index) for index in history] for history in self.artifact.golden_histories)
        return [Query(history=item_keys(item_ids), k=10) for item_ids in ids]

    def _run_batch(self, queries: Sequence[Query | SimilarQuery]) -> BatchResults:
        recommend = [(row, query) for row, query in enumerate(queries) if isinstance(query, Query)]
        ruled = [(row, query) for row, query in recommend if query.rules is not None]
        plain = [(row, query) for row, query in recommend if query.rules is None] if ruled else recommend
        similar = [(row, query) for row, query in enumerate(queries) if isinstance(query, SimilarQuery)]
        results = run_isolated(self._recommend, plain) | run_isolated(self._find_similar, similar)
        results |= run_isolated(self._recommend_under_rules, ruled)
        return [results[row] for row in range(len(queries))]

    def _recommend(self, queries: list[Query]) -> BatchResults:
        started_at = time.perf_counter()
        search = BatchSearch(self, self._predictor, self.overlay, queries)
        histories, rows = search.histories, search.histories.rows
        if not rows:
            return self._build_answers(search, [], started_at, 0.0, 0.0)
        top = search.predictor.top_k(
            histories.select_known(),
            max(queries[row].k for row in rows),
            times=histories.select_times() if self._predictor.reads_times else None,
            request_times=histories.select_request_times(),
            excluded=[histories.find_excluded(row) for row in rows],
            allow_masks=[_build_mask(search.space, queries[row]) for row in rows],
        )
        BATCH_PADDING.observe(top.padding_ratio)
        ranked = list(zip(top.indices, top.scores, strict=True))
        return self._build_answers(search, ranked, started_at, top.encode_s, top.score_s)

    def _recommend_under_rules(self, queries: list[Query]) -> BatchResults:
        started_at = time.perf_counter()
        search = BatchSearch(self, self._predictor, self.overlay, queries)
        if not search.histories.rows:
            return self._build_answers(search, [], started_at, 0.0, 0.0)
        top = rank_with_model(search.space, search.predictor, search.histories)
        BATCH_PADDING.observe(top.padding_ratio)
        return self._build_answers(search, top.ranked, started_at, top.encode_s, top.score_s)

    def _build_answers(
        self,
        search: BatchSearch,
        ranked: Sequence[tuple[Indices, Scores]],
        started_at: float,
        encode_s: float,
        score_s: float,
    ) -> BatchResults:
        """Build the answers of a batch from the items of queries with known items; others get popular items."""
        answers: dict[int, TopItems] = {}
        histories = search.histories
        for row, (indices, scores) in zip(histories.rows, ranked, strict=True):
            query, unknown, times = histories.queries[row], histories.find_unknown_positions(row), (encode_s, score_s)
            answer = self._build_answer(indices[: query.k], scores, unknown, started_at, *times)
            answers[row] = search.add_new_ids(answer)
            if query.explain:
                answers[row] = self._explain(answer, query, histories.known_items[row], histories.read_times(row))
        return [
            answers[row] if row in answers else find_popular_items(self, query)
            for row, query in enumerate(histories.queries)
        ]

    def _explain(self, answer: TopItems, query: Query, history: Indices, times: Times) -> TopItems:
        """Add explanations to an answer; unchanged if the model cannot explain."""
        if not can_explain(self._predictor):
            EXPLANATIONS.labels("unsupported").inc()
            return answer
        with EXPLANATION_SECONDS.time():
            explanations = explain_items(
                self._predictor, history, answer.indices, times=times, request_time=query.request_time
            )
        EXPLANATIONS.labels("removal").inc()
        return dataclasses.replace(answer, explanations=explanations)

    def _find_similar(self, queries: list[SimilarQuery]) -> BatchResults:
        started_at = time.perf_counter()
        indices = [self.catalogue.find_index(query.item) for query in queries]
        known_items = [(row, index) for row, index in enumerate(indices) if index is not None]
        answers: BatchResults = [NotFound(f"the catalogue has no item {query.item!r}") for query in queries]
        if known_items:
            top = self._predictor.find_similar(
                np.array([index for _, index in known_items]),
                max(queries[row].k for row, _ in known_items),
                excluded=[drop_unknown(self._key_index.find_indices(queries[row].exclude)) for row, _ in known_items],
                allow_masks=[_build_mask(self, queries[row]) for row, _ in known_items],
            )
            for (row, _), best, scores in zip(known_items, top.indices, top.scores, strict=True):
                answers[row] = self._build_answer(
                    best[: queries[row].k], scores, NO_INDICES, started_at, 0.0, top.score_s
                )
        return answers

    def _build_answer(
        self,
        best: Indices,
        scores: Scores,
        unknown_positions: Indices,
        started_at: float,
        encode_s: float,
        score_s: float,
    ) -> TopItems:
        count = int(np.count_nonzero(best))  # trailing zeros: no eligible item was left
        indices, values = best[:count].tolist(), scores[:count].tolist()
        return TopItems(
            indices, values, "model", unknown_positions, self.version, self.catalogue, encode_s, score_s, started_at
        )


def _build_mask(space: SearchSpace, query: Query | SimilarQuery) -> Mask | None:
    candidates = query.candidates if isinstance(query, Query) else None
    return build_allow_mask(space, candidates, query.categories, query.item_filter)
