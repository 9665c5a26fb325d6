"""One version, ready to serve: a predictor bound to its catalogue. External ids ↔ indices happen here and nowhere else.

Synchronous, and used by one thread at a time. It knows no event loop, no Redis and no HTTP.
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
from app.inference.popularity import NOTHING, Indices, allow_masks, excluded, find_popular_items, known
from app.inference.query import Query, SimilarQuery, TopItems
from app.runtime.memory import trim_heap
from app.telemetry.metrics import BATCH_PADDING
from models.artifact import Artifact, ArtifactError, load_artifact
from models.batch import NO_TIME, Times

AnyQuery = TypeVar("AnyQuery", Query, SimilarQuery)


def open_servable(folder: Path, *, device: str, threads: int, max_batch: int, native: bool = True) -> "Servable":
    """Load, check and warm up; ArtifactRejected says why a folder cannot serve."""
    torch.set_num_threads(threads)
    try:
        servable = Servable(load_artifact(folder, device=device, native=native))
    except ArtifactError as error:
        raise ArtifactRejected(str(error)) from error
    servable.warm_up(max_batch)
    trim_heap()
    return servable


class Servable:
    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.version = artifact.version
        self.catalogue = artifact.catalogue
        self._predictor = artifact.predictor
        self._index = artifact.catalogue.keys

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

    def warm_up(self, max_batch: int) -> None:
        """Run the sizes that will come, so that the first callers do not pay for lazy set-up."""
        longest = np.ones(self._predictor.max_len, dtype=np.int64)
        for size in (1, max_batch):
            self._predictor.top_k([longest] * size, 10)

    def run_batch(self, queries: Sequence[Query | SimilarQuery]) -> list[TopItems | Exception]:
        """One answer or one error per query, in order; a bad query does not harm its neighbours."""
        recommend = [(place, query) for place, query in enumerate(queries) if isinstance(query, Query)]
        similar = [(place, query) for place, query in enumerate(queries) if isinstance(query, SimilarQuery)]
        answers = _each(self._recommend, recommend) | _each(self._similar, similar)
        return [answers[place] for place in range(len(queries))]

    def find_popular_items(self, query: Query) -> TopItems:
        return find_popular_items(self.catalogue, self.version, query)

    def _recommend(self, queries: list[Query]) -> list[TopItems | Exception]:
        started = time.perf_counter()
        # One search for the keys of the whole batch, then cut apart again.
        histories = np.split(
            self._index.find_indices(np.concatenate([query.history for query in queries])),
            np.cumsum([len(query.history) for query in queries])[:-1],
        )
        seen = [known(history) for history in histories]
        with_model = [row for row, history in enumerate(seen) if len(history)]
        answers: dict[int, TopItems] = {}
        if with_model:
            top = self._predictor.top_k(
                [seen[row] for row in with_model],
                max(queries[row].k for row in with_model),
                times=_times(queries, histories, with_model) if self._predictor.reads_times else None,
                excluded=[excluded(self.catalogue, seen[row], queries[row]) for row in with_model],
                allow_masks=[
                    allow_masks(self.catalogue, queries[row].candidates, queries[row].categories) for row in with_model
                ],
            )
            BATCH_PADDING.observe(top.padding_ratio)
            for row, indices, scores in zip(with_model, top.indices, top.scores, strict=True):
                unknown_positions = np.flatnonzero(histories[row] == 0)
                answers[row] = self._answered(
                    indices[: queries[row].k],
                    scores,
                    unknown_positions,
                    started,
                    encode_s=top.encode_s,
                    score_s=top.score_s,
                )
        return [answers[row] if row in answers else self.find_popular_items(query) for row, query in enumerate(queries)]

    def _similar(self, queries: list[SimilarQuery]) -> list[TopItems | Exception]:
        started = time.perf_counter()
        indices = [self.catalogue.find_index(query.item) for query in queries]
        asked = [(row, index) for row, index in enumerate(indices) if index is not None]
        answers: list[TopItems | Exception] = [
            NotFound(f"the catalogue has no item {query.item!r}") for query in queries
        ]
        if asked:
            top = self._predictor.find_similar(
                np.array([index for _, index in asked]),
                max(queries[row].k for row, _ in asked),
                excluded=[known(self._index.find_indices(queries[row].exclude)) for row, _ in asked],
                allow_masks=[allow_masks(self.catalogue, None, queries[row].categories) for row, _ in asked],
            )
            for (row, _), best, scores in zip(asked, top.indices, top.scores, strict=True):
                answers[row] = self._answered(best[: queries[row].k], scores, NOTHING, started, score_s=top.score_s)
        return answers

    def _answered(
        self,
        best: Indices,
        scores: NDArray[np.float32],
        unknown_positions: Indices,
        started_at: float,
        *,
        encode_s: float = 0.0,
        score_s: float,
    ) -> TopItems:
        count = int(np.count_nonzero(best))  # zeros stand at the end: nothing eligible was left
        indices, values = best[:count].tolist(), scores[:count].tolist()
        return TopItems(
            indices, values, "model", unknown_positions, self.version, self.catalogue, encode_s, score_s, started_at
        )


def _each(
    answer: Callable[[list[AnyQuery]], list[TopItems | Exception]], placed: list[tuple[int, AnyQuery]]
) -> dict[int, TopItems | Exception]:
    """All at once; if that fails, one by one, so that only those fail that fail alone."""
    if not placed:
        return {}
    try:
        answers = answer([query for _, query in placed])
    except Exception as error:
        if len(placed) == 1:
            return {placed[0][0]: error}
        return {place: found for one in placed for place, found in _each(answer, [one]).items()}
    return {place: found for (place, _), found in zip(placed, answers, strict=True)}


def _times(queries: Sequence[Query], histories: Sequence[Indices], rows: Sequence[int]) -> list[Times]:
    """Of the known items of these rows' histories; a history that came without times has none."""
    known = [histories[row] > 0 for row in rows]
    return [
        np.full(np.count_nonzero(mask), NO_TIME, dtype=np.uint32)
        if (times := queries[row].times) is None
        else times[mask]
        for row, mask in zip(rows, known, strict=True)
    ]
