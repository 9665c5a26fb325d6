"""A sequential recommender composed of an embedding, an encoder and a head."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import NO_TIME, SequenceBatch
from models.config import ModelConfig
from models.embeddings.base import ItemEmbedding
from models.encoders.base import SequenceEncoder
from models.heads.base import Negatives, ScoringHead, UniformNegatives
from models.layers.interval_embedding import IntervalEmbedding
from models.layers.period_embedding import PeriodEmbedding
from models.layers.request_embedding import RequestEmbedding
from models.transitions.memory import TransitionMemory

HIDDEN_SHARE = 0.1
"""Share of histories whose times are hidden in training, so that histories without times work as well."""
HIDDEN_REQUESTS = 0.5
"""The same for the times of the next events: most evaluations, and some callers, do not know that of the request."""


class SequentialRecommender(nn.Module):
    """`transitions` takes no part in `scores` and `loss`; the predictor adds it to the answer (ADR-0040)."""

    def __init__(
        self, config: ModelConfig, embedding: ItemEmbedding, encoder: SequenceEncoder, head: ScoringHead
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = embedding
        self.encoder = encoder
        self.head = head
        self.intervals = IntervalEmbedding(config.dim) if config.intervals else None
        self.periods = PeriodEmbedding(config.periods, config.dim) if config.periods else None
        self.requests = RequestEmbedding(config.periods, config.dim) if config.request_times else None
        self.transitions: TransitionMemory | None = None
        if config.transitions:
            self.transitions = TransitionMemory(embedding.num_items, config.dim, config.transitions)

    def with_embedding(self, embedding: ItemEmbedding) -> "SequentialRecommender":
        """Return a model with another embedding that shares all other parts."""
        model = copy.copy(self)
        model._modules = {**self._modules, "embedding": embedding}
        return model

    @property
    def reads_times(self) -> bool:
        parts = (self.intervals, self.periods, self.requests)
        return self.embedding.reads_times or any(part is not None for part in parts)

    @property
    def reads_request_times(self) -> bool:
        return self.requests is not None

    def embed(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim): the input of the encoder."""
        vectors: Tensor = self.embedding(batch)
        if self.intervals is None and self.periods is None and self.requests is None:
            return vectors
        times = self._hide_times(batch)
        if self.intervals is not None:
            vectors = vectors + self.intervals(times)
        if self.periods is not None:
            vectors = vectors + self.periods(times)
        if self.requests is not None:
            vectors = vectors + self.requests(times, self._shift_times(times, batch), self.periods)
        return vectors

    def _hide_times(self, batch: SequenceBatch) -> Tensor:
        """(B, T): the times of the batch, NO_TIME where there are none and, in training, in some of the histories."""
        times = torch.full_like(batch.items, NO_TIME) if batch.times is None else batch.times
        if not self.training:
            return times
        is_hidden = torch.rand(len(times), 1, device=times.device) < HIDDEN_SHARE
        return times.masked_fill(is_hidden, NO_TIME)

    def _shift_times(self, times: Tensor, batch: SequenceBatch) -> Tensor:
        """(B, T): the times of the next events, the last of them the request; NO_TIME without a request or own time."""
        if batch.request_times is None:
            return torch.full_like(times, NO_TIME)
        requests = batch.request_times[:, None]
        if self.training:
            is_hidden = torch.rand(len(times), 1, device=times.device) < HIDDEN_REQUESTS
            requests = requests.masked_fill(is_hidden, NO_TIME)
        next_times = F.pad(times[:, 1:], (0, 1)).scatter(1, batch.lengths[:, None] - 1, requests)
        return next_times.masked_fill((requests == NO_TIME) | (times == NO_TIME), NO_TIME)

    def encode(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, T, dim): at position t, the hidden vector that predicts the item after t."""
        hidden: Tensor = self.encoder(self.embed(batch), batch.lengths)
        return hidden

    def encode_last(self, batch: SequenceBatch) -> Tensor:
        """(B, T) items → (B, dim): the hidden vector that predicts the item after the whole history."""
        return self.encoder.forward_last(self.embed(batch), batch.lengths)

    def scores(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, num_items + 1)"""
        return self.head.scores(hidden, self.embedding)

    def score_items(self, hidden: Tensor, items: Tensor) -> Tensor:
        """(B, dim) and (B, C) items → (B, C): the columns of `scores` of these items."""
        return self.head.score_items(hidden, items, self.embedding)

    def loss(
        self,
        batch: SequenceBatch,
        targets: Tensor,
        negatives: Negatives | UniformNegatives | None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy, or gBCE against uniform negatives; weighted where `weights` (B, T) are given.

        `targets` (B, T): the item after each position, 0 where there is no target. A causal encoder learns from every
        target, any other only from the last one, because the earlier targets are in its input.
        """
        hidden = self.encode(batch)
        supervised = targets > 0
        if not self.encoder.causal:
            last = batch.lengths[:, None] - 1
            supervised &= last == last.new_tensor(range(targets.shape[1]))
        rows = hidden[supervised], targets[supervised], self.embedding
        row_weights = None if weights is None else weights[supervised]
        if isinstance(negatives, UniformNegatives):
            return self.head.gbce(*rows, negatives, row_weights)
        return self.head.cross_entropy(*rows, negatives, row_weights)
