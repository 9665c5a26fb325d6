"""Which codes an item gets. Similar items should share some, so that what one teaches the other knows.

All of it is computed from training histories alone, and repeats: its random numbers have a seed of their own.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.batch import History

SEED = 20_231_206
ROUNDS = 25  # of k-means
CHUNK = 16_384  # items whose distances to all centres are held at once
SAMPLE = 65_536  # items from which centres are learned


def assign_codes(name: str, num_items: int, histories: Sequence[History], splits: int, codebook: int) -> Tensor:
    """(num_items, splits) int64 codes below `codebook`, by the assignment of that name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return ASSIGNMENTS[name](num_items, histories, splits, codebook)


def assign_svd_codes(num_items: int, histories: Sequence[History], splits: int, codebook: int) -> Tensor:
    """RecJPQ's: column j of a truncated SVD of the user-item matrix, cut into `codebook` parts of equal size."""
    vectors = compute_item_vectors(num_items, histories, splits)
    ranks = vectors.argsort(dim=0, stable=True).argsort(dim=0)
    return ranks * codebook // num_items


def assign_residual_kmeans_codes(num_items: int, histories: Sequence[History], splits: int, codebook: int) -> Tensor:
    """Code j is the nearest of `codebook` centres to what centres 1 … j − 1 left over of the item's SVD vector."""
    rest = compute_item_vectors(num_items, histories, 8 * splits)
    rest = rest / rest.norm(dim=1, keepdim=True).clamp_min(1e-9)
    codes = []
    for _ in range(splits):
        centres, nearest = _kmeans(rest, codebook, torch.ones(num_items))
        rest = rest - centres[nearest]
        codes.append(nearest)
    return torch.stack(codes, dim=1)


def assign_digit_codes(num_items: int, histories: Sequence[History], splits: int, codebook: int) -> Tensor:
    """The popularity rank in mixed radix, as LSAN composes it: says nothing about items, the null to compare with.

    With more digits than the catalogue needs, the same digits come again, rotated by their place, so that all pieces of
    a vector are used.
    """
    del histories
    return compute_digits(torch.arange(num_items), num_items, splits, codebook)


def compute_digits(items: Tensor, num_items: int, splits: int, codebook: int) -> Tensor:
    """`assign_digit_codes` of some items (n,), their places in the catalogue from 0 → (n, splits) int64."""
    needed = max(1, int(np.ceil(np.log(max(2, num_items)) / np.log(max(2, codebook)))))
    radix = min(codebook, int(np.ceil(num_items ** (1 / needed))))
    digits = [items // radix ** (place % needed) % max(1, radix) for place in range(splits)]
    return torch.stack(digits, dim=1)


ASSIGNMENTS: Mapping[str, Callable[[int, Sequence[History], int, int], Tensor]] = {
    "svd": assign_svd_codes,
    "residual_kmeans": assign_residual_kmeans_codes,
    "digits": assign_digit_codes,
}


def quantize_vectors(vectors: Tensor, weights: Tensor, splits: int, codebook: int) -> tuple[Tensor, Tensor]:
    """Product quantisation: every vector (V, D) cut into pieces, each piece replaced by its nearest centre.

    `weights` (V,) > 0 say how much the error of an item counts. Codes (V, splits), and centres
    (splits · codebook, D / splits) with those of the first piece first.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        found = [_kmeans(piece, codebook, weights) for piece in vectors.cpu().float().chunk(splits, dim=1)]
    return torch.stack([nearest for _, nearest in found], dim=1), torch.cat([centres for centres, _ in found])


def compute_item_vectors(num_items: int, histories: Sequence[History], dim: int) -> Tensor:
    """(num_items, dim) right singular vectors of the binary user-item matrix, times the root of their values."""
    items = np.concatenate([np.unique(history) for history in histories]) - 1
    users = np.repeat(np.arange(len(histories)), [len(np.unique(history)) for history in histories])
    places = torch.from_numpy(np.stack((users, items)))
    matrix = torch.sparse_coo_tensor(places, torch.ones(len(items)), (len(histories), num_items), check_invariants=True)
    rank = min(dim, num_items, len(histories))
    _, values, right = torch.svd_lowrank(matrix, q=min(rank + 8, num_items, len(histories)), niter=8)
    vectors = right[:, :rank] * values[:rank].sqrt()
    if rank < dim:  # a log with fewer users than codes: the rest is noise, and codes stay different
        vectors = torch.cat((vectors, torch.randn(num_items, dim - rank)), dim=1)
    return vectors


def _kmeans(points: Tensor, count: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (count, D), and for each point (N,) its nearest centre; a centre without points moves to a random one.

    The first centres are points drawn by weight, so that heavy ones begin near a centre.
    """
    sample = torch.randperm(len(points))[:SAMPLE]
    some, heavy = points[sample], weights[sample]
    drawn = torch.multinomial(heavy, min(count, len(some)))
    centres = torch.cat((some[drawn], torch.randn(count - len(drawn), points.shape[1])))
    for _ in range(ROUNDS):
        nearest = _nearest(some, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, some * heavy[:, None])
        sizes = torch.zeros(count).index_add_(0, nearest, heavy)
        centres = sums / sizes.clamp_min(1e-12)[:, None]
        empty = sizes == 0
        centres[empty] = some[torch.randint(len(some), (int(empty.sum()),))]
    return centres, _nearest(points, centres)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([torch.cdist(chunk, centres).argmin(1) for chunk in points.split(CHUNK)])
