"""One version, ready to serve: a predictor bound to its catalogue. External ids ↔ indices happen here and nowhere else.

Synchronous, and used by one thread at a time. It knows no event loop, no Redis and no HTTP.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import ArtifactRejected, NotFound
from app.inference.item_index import ItemIndex
from app.inference.query import Query, SimilarQuery, TopItems
from app.item_key import ItemKeys
from app.observability import BATCH_PADDING
from models.artifact import Artifact, ArtifactError, load_artifact

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
NOTHING: Indices = np.empty(0, dtype=np.int64)


def open_servable(folder: Path, *, device: str, threads: int, max_batch: int) -> "Servable":
    """Load, check and warm up; ArtifactRejected says why a folder cannot serve."""
    torch.set_num_threads(threads)
    try:
        servable = Servable(load_artifact(folder, device=device))
    except ArtifactError as error:
        raise ArtifactRejected(str(error)) from error
    servable.warm_up(max_batch)
    return servable


class Servable:
    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.version = artifact.version
        self.catalogue = artifact.catalogue
        self._predictor = artifact.predictor
        self._index = ItemIndex(artifact.catalogue.item_ids)

    def bytes_by_part(self) -> dict[str, int]:
        sizes = dict(self.artifact.bytes_by_part)
        sizes["catalogue"] += self._index.nbytes
        return sizes

    def warm_up(self, max_batch: int) -> None:
        """Run the sizes that will come, so that the first callers do not pay for lazy set-up."""
        longest = np.ones(self._predictor.max_len, dtype=np.int64)
        for size in (1, max_batch):
            self._predictor.top_k([longest] * size, 10)

    def answer(self, queries: Sequence[Query | SimilarQuery]) -> list[TopItems | Exception]:
        """One answer or one error per query, in order; a bad query does not harm its neighbours."""
        answers: dict[int, TopItems | Exception] = {}
        recommend = [(place, query) for place, query in enumerate(queries) if isinstance(query, Query)]
        similar = [(place, query) for place, query in enumerate(queries) if isinstance(query, SimilarQuery)]
        if recommend:
            found = self._recommend([query for _, query in recommend])
            answers.update(zip((place for place, _ in recommend), found, strict=True))
        for place, query in similar:
            answers[place] = self._similar(query)
        return [answers[place] for place in range(len(queries))]

    def popular(self, query: Query) -> TopItems:
        """The most popular eligible items; catalogue order is popularity order, the score is the count."""
        history = self._index.of(query.history)
        known = history[history > 0]
        allowed = self._allowed(query.candidates, query.categories)
        eligible = np.ones(self.catalogue.num_items + 1, dtype=bool) if allowed is None else allowed
        eligible[0] = False
        eligible[self._denied(known, query)] = False
        best = np.flatnonzero(eligible)[: query.k]
        names = [self.catalogue.item_id(int(index)) for index in best]
        counts = [float(self.catalogue.count(int(index))) for index in best]
        return TopItems(names, counts, "popularity", np.flatnonzero(history == 0), started_at=time.perf_counter())

    def _recommend(self, queries: list[Query]) -> list[TopItems]:
        started = time.perf_counter()
        # One search for the keys of the whole batch, then cut apart again.
        histories = np.split(
            self._index.of(np.concatenate([query.history for query in queries])),
            np.cumsum([len(query.history) for query in queries])[:-1],
        )
        known = [history[history > 0] for history in histories]
        with_model = [row for row, history in enumerate(known) if len(history)]
        answers: dict[int, TopItems] = {}
        if with_model:
            top = self._predictor.top_k(
                [known[row] for row in with_model],
                max(queries[row].k for row in with_model),
                denied=[self._denied(known[row], queries[row]) for row in with_model],
                allowed=[self._allowed(queries[row].candidates, queries[row].categories) for row in with_model],
            )
            BATCH_PADDING.observe(top.padding_ratio)
            for row, indices, scores in zip(with_model, top.indices, top.scores, strict=True):
                names, values = self._named(indices[: queries[row].k], scores)
                unknown = np.flatnonzero(histories[row] == 0)
                answers[row] = TopItems(names, values, "model", unknown, top.encode_s, top.score_s, started)
        return [answers[row] if row in answers else self.popular(query) for row, query in enumerate(queries)]

    def _similar(self, query: SimilarQuery) -> TopItems | Exception:
        index = self.catalogue.index_of(query.item)
        if index is None:
            return NotFound(f"the catalogue has no item {query.item!r}")
        top = self._predictor.similar(
            np.array([index]),
            query.k,
            denied=[_known(self._index.of(query.exclude))],
            allowed=[self._allowed(None, query.categories)],
        )
        names, values = self._named(top.indices[0], top.scores[0])
        return TopItems(names, values, "model", NOTHING, score_s=top.score_s, started_at=time.perf_counter())

    def _denied(self, seen: Indices, query: Query) -> Indices:
        excluded = _known(self._index.of(query.exclude)) if len(query.exclude) else NOTHING
        return np.concatenate((seen, excluded)) if query.exclude_seen else excluded

    def _allowed(self, candidates: ItemKeys | None, categories: tuple[str, ...]) -> Mask | None:
        """What may be answered, None for everything: candidates that are in one of the categories."""
        if candidates is None and not categories:
            return None
        mask = np.zeros(self.catalogue.num_items + 1, dtype=bool)
        if candidates is not None:
            mask[_known(self._index.of(candidates))] = True
        if categories:
            members = np.zeros_like(mask)
            for name in categories:
                indices = self.catalogue.in_category(name)
                if indices is not None:
                    members[indices] = True
            mask = members if candidates is None else mask & members
        return mask

    def _named(self, indices: Indices, scores: NDArray[np.float32]) -> tuple[list[str], list[float]]:
        count = int(np.count_nonzero(indices))  # zeros stand at the end: nothing eligible was left
        return [self.catalogue.item_id(index) for index in indices[:count].tolist()], scores[:count].tolist()


def _known(indices: Indices) -> Indices:
    return indices[indices > 0]
