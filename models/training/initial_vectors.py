"""Initial item vectors from co-occurrence counts, so that a short training starts from items that are already related.

Items i and j that follow each other within five steps n_ij times (weighted by 1/distance, in both directions) have the
positive mutual information max(0, log(n_ij · Σ_k n_k^a / (n_i n_j)^((1 + a) / 2))), a symmetric form of the one with
damped context counts of Levy, Goldberg and Dagan (TACL 2015), a = 0.75. The vectors are its leading eigenvectors,
scaled by the roots of their eigenvalues.
"""

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.data.dataset import Dataset
from models.data.splits import select_training_histories
from models.transitions.counting import count_transitions

DAMPING = 0.75
ITERATIONS, OVERSAMPLING = 4, 16
"""Of the subspace iteration; extra columns make the last eigenvectors as good as the first (Halko et al., 2011)."""
DEVIATION = 0.02
"""Standard deviation of the vectors' numbers, that of the random initialization."""
EVENT_S, ITEM_S = 2e-6, 3e-5
"""Seconds of counting per event and of the factors per item, on one thread (models/LOG.md)."""


def estimate_initial_vectors_s(num_events: int, num_items: int) -> float:
    return EVENT_S * num_events + ITEM_S * num_items


def compute_initial_vectors(dataset: Dataset, dim: int, seed: int) -> Tensor:
    """Compute a (num_items + 1, dim) table from the training part; padding and items without neighbors are zero."""
    num_items = dataset.catalogue.num_items
    sources, neighbours, weights = _compute_information(dataset)
    ends = torch.from_numpy(np.searchsorted(sources, np.arange(num_items + 1)))
    columns, values = torch.tensor(neighbours), torch.tensor(weights)

    def multiply(vectors: Tensor) -> Tensor:
        """Multiply the symmetric matrix by (num_items + 1, n) vectors."""
        product: Tensor = F.embedding_bag(columns, vectors, ends, mode="sum", per_sample_weights=values)
        return product

    generator = torch.Generator().manual_seed(seed)
    width = min(dim + OVERSAMPLING, num_items + 1)
    basis = torch.randn(num_items + 1, width, generator=generator)
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(multiply(basis)).Q
    eigenvalues, rotation = torch.linalg.eigh(basis.T @ multiply(basis))
    order = eigenvalues.abs().argsort(descending=True)[:dim]
    factors = F.pad(basis @ rotation[:, order] * eigenvalues[order].abs().sqrt(), (0, max(0, dim - width)))
    # A random rotation spreads the large eigenvalues over all features: codes split the features into groups.
    mixing = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    table: Tensor = factors @ mixing
    table *= DEVIATION / table[1:].std().clamp_min(1e-9)
    table[0] = 0
    return table


def _compute_information(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """List the positive cells of the symmetric matrix, sorted by row: rows, columns and values."""
    counted = count_transitions(select_training_histories(dataset), directed=False)
    counted = counted.filter(pl.col("source") != pl.col("follower"))
    rows, columns, weights = (counted[name].to_numpy() for name in ("source", "follower", "weight"))
    num_rows = dataset.catalogue.num_items + 1
    totals = np.bincount(rows, weights, num_rows) + np.bincount(columns, weights, num_rows)
    logs = np.log(np.maximum(totals, 1e-9))
    offset = np.log((totals**DAMPING).sum()) if len(rows) else 0.0
    values = np.log(weights) + offset - (1 + DAMPING) / 2 * (logs[rows] + logs[columns])
    rows, columns, values = (array[values > 0] for array in (rows, columns, values))
    rows, columns = np.concatenate((rows, columns)), np.concatenate((columns, rows))
    order = np.argsort(rows * num_rows + columns)
    return rows[order], columns[order], np.tile(values, 2)[order].astype(np.float32)
