"""One version, ready to serve: a predictor with its catalogue; the only place that converts external ids to indices.

Synchronous, for one thread at a time.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import ArtifactRejected, NotFound
from app.inference.interfaces import ModelInfo
from app.inference.popularity import (
    NO_INDICES,
    Indices,
    build_allow_mask,
    drop_unknown,
    find_excluded,
    find_popular_items,
)
from app.inference.query import Query, SimilarQuery, TopItems
from app.runtime.memory import trim_heap
from app.telemetry.metrics import BATCH_PADDING
from models.artifact import Artifact, ArtifactError, load_artifact
from models.batch import NO_TIME, Times
from models.threads import choose_threads

AnyQuery = TypeVar("AnyQuery", Query, SimilarQuery)
BatchResults = list[TopItems | Exception]

_measured_threads: dict[int, int] = {}
"""The measured number of compute threads by the largest allowed number."""


def open_servable(
    folder: Path, *, device: str, threads: int, max_batch: int, native: bool = True, measure_threads: bool = False
) -> "Servable":
    """Load, verify and warm up an artifact; ArtifactRejected says why it cannot serve.

    `measure_threads` uses fewer than `threads` compute threads where a batch is not slower with them. The first version
    of a process decides, because later ones are loaded while requests are served.
    """
    torch.set_num_threads(_measured_threads.get(threads, threads) if measure_threads else threads)
    try:
        servable = Servable(load_artifact(folder, device=device, native=native))
    except ArtifactError as error:
        raise ArtifactRejected(str(error)) from error
    servable.warm_up(max_batch)
    if measure_threads and servable.device == "cpu" and threads not in _measured_threads:
        _measured_threads[threads] = choose_threads(lambda: servable.warm_up(max_batch), most=threads)
    trim_heap()
    return servable


class Servable:
    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.folder = artifact.folder
        self.version = artifact.version
        self.catalogue = artifact.catalogue
        self.device = artifact.predictor.device
        self.max_len = artifact.predictor.max_len
        self.uncompressed_bytes = artifact.uncompressed_bytes
        self._predictor = artifact.predictor
        self._key_index = artifact.catalogue.keys

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
        )

    def read_device_memory(self) -> dict[str, int]:
        """Bytes of device memory by kind."""
        return self._predictor.read_device_memory()

    def warm_up(self, max_batch: int) -> None:
        """Run the smallest and largest batch, so that the first requests do not pay for lazy initialization."""
        longest = np.ones(self.max_len, dtype=np.int64)
        for size in (1, max_batch):
            self._predictor.top_k([longest] * size, 10)

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> BatchResults:
        """Return one answer or one error per query, in order; a query that fails does not affect the others."""
        recommend = [(row, query) for row, query in enumerate(queries) if isinstance(query, Query)]
        similar = [(row, query) for row, query in enumerate(queries) if isinstance(query, SimilarQuery)]
        results = _run_isolated(self._recommend, recommend) | _run_isolated(self._find_similar, similar)
        return [results[row] for row in range(len(queries))]

    def _recommend(self, queries: list[Query]) -> BatchResults:
        started_at = time.perf_counter()
        # One search for the keys of the whole batch, then split by history.
        histories = np.split(
            self._key_index.find_indices(np.concatenate([query.history for query in queries])),
            np.cumsum([len(query.history) for query in queries])[:-1],
        )
        known_items = [drop_unknown(history) for history in histories]
        rows = [row for row, items in enumerate(known_items) if len(items)]
        answers: dict[int, TopItems] = {}
        if rows:
            top = self._predictor.top_k(
                [known_items[row] for row in rows],
                max(queries[row].k for row in rows),
                times=_select_times(queries, histories, rows) if self._predictor.reads_times else None,
                request_times=np.array([queries[row].request_time for row in rows], dtype=np.uint32),
                excluded=[find_excluded(self.catalogue, known_items[row], queries[row]) for row in rows],
                allow_masks=[
                    build_allow_mask(self.catalogue, queries[row].candidates, queries[row].categories) for row in rows
                ],
            )
            BATCH_PADDING.observe(top.padding_ratio)
            for row, indices, scores in zip(rows, top.indices, top.scores, strict=True):
                answers[row] = self._build_answer(
                    indices[: queries[row].k],
                    scores,
                    np.flatnonzero(histories[row] == 0),
                    started_at,
                    encode_s=top.encode_s,
                    score_s=top.score_s,
                )
        return [
            answers[row] if row in answers else find_popular_items(self, query) for row, query in enumerate(queries)
        ]

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
                allow_masks=[build_allow_mask(self.catalogue, None, queries[row].categories) for row, _ in known_items],
            )
            for (row, _), best, scores in zip(known_items, top.indices, top.scores, strict=True):
                answers[row] = self._build_answer(
                    best[: queries[row].k], scores, NO_INDICES, started_at, score_s=top.score_s
                )
        return answers

    def _build_answer(
        self,
        best: Indices,
        scores: NDArray[np.float32],
        unknown_positions: Indices,
        started_at: float,
        *,
        encode_s: float = 0.0,
        score_s: float,
    ) -> TopItems:
        count = int(np.count_nonzero(best))  # trailing zeros: no eligible item was left
        indices, values = best[:count].tolist(), scores[:count].tolist()
        return TopItems(
            indices, values, "model", unknown_positions, self.version, self.catalogue, encode_s, score_s, started_at
        )


def _run_isolated(
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
        return {row: result for pair in numbered for row, result in _run_isolated(run, [pair]).items()}
    return {row: result for (row, _), result in zip(numbered, results, strict=True)}


def _select_times(queries: Sequence[Query], histories: Sequence[Indices], rows: Sequence[int]) -> list[Times]:
    """Event times of the known items of these rows' histories; NO_TIME for histories without times."""
    masks = [histories[row] > 0 for row in rows]
    return [
        np.full(np.count_nonzero(mask), NO_TIME, dtype=np.uint32)
        if (times := queries[row].times) is None
        else times[mask]
        for row, mask in zip(rows, masks, strict=True)
    ]
