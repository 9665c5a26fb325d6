"""Additive quantization: each vector becomes the sum of one row from each of a few base tables.

Residual quantization (each table encodes what the tables before it leave) gives the start. Then two steps alternate:
all rows are solved for by least squares, and each table in turn reassigns every vector to its best row. Additive
quantization is due to Babenko and Lempitsky (CVPR 2014). Reproducible: the random numbers have a fixed seed and leave
the global random state unchanged.
"""

import torch
from torch import Tensor

from models.embeddings.assignment import SAMPLE, SEED, quantize_vectors

SWEEPS = 8
RIDGE = 1e-2
"""Pull of the rows towards their previous values, as a share of the mean weight; rows without vectors stay."""
CHUNK = 8192


def fit_additive_codes(vectors: Tensor, weights: Tensor, tables: int, rows: int) -> tuple[Tensor, Tensor]:
    """Approximate vectors (V, D) by sums of `tables` rows; `weights` (V,) > 0 weigh the error of each vector.

    Returns codes (V, tables), each below `rows`, and the base tables (tables · rows, D), the first one first.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        sample = torch.randperm(len(vectors))[:SAMPLE]
        points, point_weights = vectors[sample].float(), weights[sample].float()
        codes, bases = _quantize_residuals(points, point_weights, tables, rows)
    for _ in range(SWEEPS):
        bases = _solve_rows(points, point_weights, codes, bases)
        codes = _improve_codes(points, codes, bases)
    bases = _solve_rows(points, point_weights, codes, bases)
    if len(sample) == len(vectors):
        result = torch.empty_like(codes)
        result[sample] = codes
        return result, bases.flatten(0, 1)
    return encode_additively(vectors, bases), bases.flatten(0, 1)


def encode_additively(vectors: Tensor, bases: Tensor) -> Tensor:
    """Choose codes (V, tables) for vectors (V, D) and base tables (tables, rows, D): greedily, then in sweeps."""
    chunks = []
    for chunk in vectors.float().split(CHUNK):
        residuals, codes = chunk, torch.empty(len(chunk), len(bases), dtype=torch.int64)
        for table, base in enumerate(bases):
            codes[:, table] = torch.cdist(residuals, base).argmin(1)
            residuals = residuals - base[codes[:, table]]
        for _ in range(2):
            codes = _improve_codes(chunk, codes, bases)
        chunks.append(codes)
    return torch.cat(chunks)


def _quantize_residuals(points: Tensor, weights: Tensor, tables: int, rows: int) -> tuple[Tensor, Tensor]:
    codes, bases, residuals = [], [], points
    for _ in range(tables):
        nearest, base = quantize_vectors(residuals, weights, 1, rows)
        residuals = residuals - base[nearest[:, 0]]
        codes.append(nearest)
        bases.append(base)
    return torch.cat(codes, dim=1), torch.stack(bases)


def _solve_rows(points: Tensor, weights: Tensor, codes: Tensor, bases: Tensor) -> Tensor:
    """Solve for all rows by weighted least squares, pulled slightly towards their previous values."""
    tables, rows, dim = bases.shape
    size = tables * rows
    positions = codes + torch.arange(tables) * rows
    # In float64: the rows of each table sum to one column of ones, so the system is singular without the pull.
    gram, right = torch.zeros(size * size, dtype=torch.float64), torch.zeros(size, dim, dtype=torch.float64)
    points, weights = points.double(), weights.double()
    for chunk, point, weight in zip(positions.split(CHUNK), points.split(CHUNK), weights.split(CHUNK), strict=True):
        pairs = (chunk[:, :, None] * size + chunk[:, None, :]).flatten(1)
        gram.index_add_(0, pairs.flatten(), weight[:, None].expand_as(pairs).flatten())
        right.index_add_(0, chunk.flatten(), (point * weight[:, None]).repeat_interleave(tables, dim=0))
    pull = RIDGE * float(weights.mean())
    matrix = gram.view(size, size) + pull * torch.eye(size, dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(matrix, right + pull * bases.flatten(0, 1).double())
    return solved.view_as(bases).to(bases)


def _improve_codes(points: Tensor, codes: Tensor, bases: Tensor) -> Tensor:
    """Reassign each vector, one table at a time, to the row that suits what the other tables leave."""
    codes = codes.clone()
    residuals = points.clone()
    for table, base in enumerate(bases):
        residuals -= base[codes[:, table]]
    for table, base in enumerate(bases):
        residuals += base[codes[:, table]]
        codes[:, table] = torch.cdist(residuals, base).argmin(1)
        residuals -= base[codes[:, table]]
    return codes
