"""Assignment of codes to items, so that similar items share codes and learn from each other.

Computed from training histories alone and reproducible: the random numbers have a fixed seed and leave the global
random state unchanged. `num_subspaces` is the number of codes per item, `codebook_size` the number of their values.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batch import History

SEED = 20_231_206
KMEANS_ROUNDS, SPLIT_ROUNDS = 8, 2
SPLIT_DISTANCE = 0.3
"""Distance of the two halves of a centroid, as a share of the usual distance between centroids."""
CHUNK_DISTANCES = 1 << 17  # distances in memory together: they fit a core's cache
SAMPLE = 32_768  # items from which centroids are learned


def assign_codes(
    name: str, num_items: int, histories: Sequence[History], num_subspaces: int, codebook_size: int
) -> Tensor:
    """Assign (num_items, num_subspaces) int64 codes below `codebook_size` by the assignment called `name`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return ASSIGNMENTS[name](num_items, histories, num_subspaces, codebook_size)


def assign_svd_codes(num_items: int, histories: Sequence[History], num_subspaces: int, codebook_size: int) -> Tensor:
    """Assign codes as RecJPQ: cut each column of a truncated SVD of the user-item matrix into equal parts by rank."""
    vectors = compute_item_vectors(num_items, histories, num_subspaces)
    ranks = vectors.argsort(dim=0, stable=True).argsort(dim=0)
    return ranks * codebook_size // num_items


def assign_residual_kmeans_codes(
    num_items: int, histories: Sequence[History], num_subspaces: int, codebook_size: int
) -> Tensor:
    """Assign codes by residual quantization of SVD vectors: code j quantizes what codes 1 … j − 1 leave."""
    residuals = compute_item_vectors(num_items, histories, 8 * num_subspaces)
    residuals = residuals / residuals.norm(dim=1, keepdim=True).clamp_min(1e-9)
    codes = []
    for _ in range(num_subspaces):
        centroids, nearest = _run_kmeans(residuals, codebook_size, torch.ones(num_items))
        residuals = residuals - centroids[nearest]
        codes.append(nearest)
    return torch.stack(codes, dim=1)


def assign_digit_codes(num_items: int, histories: Sequence[History], num_subspaces: int, codebook_size: int) -> Tensor:
    """Assign the mixed-radix digits of the popularity rank, as LSAN composes it: a baseline without item similarity.

    With more digits than the catalogue needs, the digits repeat, rotated by their position, so that all subspaces of a
    vector are used.
    """
    del histories
    return compute_digits(torch.arange(num_items), num_items, num_subspaces, codebook_size)


def compute_digits(items: Tensor, num_items: int, num_subspaces: int, codebook_size: int) -> Tensor:
    """Compute the digit codes of zero-based catalogue positions (n,) → (n, num_subspaces) int64."""
    num_digits = max(1, int(np.ceil(np.log(max(2, num_items)) / np.log(max(2, codebook_size)))))
    radix = min(codebook_size, int(np.ceil(num_items ** (1 / num_digits))))
    digits = [items // radix ** (position % num_digits) % max(1, radix) for position in range(num_subspaces)]
    return torch.stack(digits, dim=1)


ASSIGNMENTS: Mapping[str, Callable[[int, Sequence[History], int, int], Tensor]] = {
    "svd": assign_svd_codes,
    "residual_kmeans": assign_residual_kmeans_codes,
    "digits": assign_digit_codes,
}


def quantize_vectors(vectors: Tensor, weights: Tensor, num_subspaces: int, codebook_size: int) -> tuple[Tensor, Tensor]:
    """Product-quantize vectors (V, D): replace the slice of every subspace by its nearest centroid.

    `weights` (V,) > 0 weigh the error of each item. Returns codes (V, num_subspaces) and centroids
    (num_subspaces · codebook_size, D / num_subspaces), those of the first subspace first.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        slices = vectors.cpu().float().chunk(num_subspaces, dim=1)
        results = [_run_kmeans(points, codebook_size, weights) for points in slices]
    return torch.stack([nearest for _, nearest in results], dim=1), torch.cat([centroids for centroids, _ in results])


def estimate_quantization_s(num_items: int) -> float:
    """Estimate the seconds of codes for 64 features on one thread, with their refinement, rounded up."""
    return 1.0 + 1.5e-4 * min(num_items, SAMPLE) + 3e-5 * num_items


def compute_item_vectors(num_items: int, histories: Sequence[History], dim: int) -> Tensor:
    """Compute right singular vectors (num_items, dim) of the binary user-item matrix, times the root of the values."""
    items = np.concatenate([np.unique(history) for history in histories]) - 1
    users = np.repeat(np.arange(len(histories)), [len(np.unique(history)) for history in histories])
    indices = torch.from_numpy(np.stack((users, items)))
    matrix = torch.sparse_coo_tensor(
        indices, torch.ones(len(items)), (len(histories), num_items), check_invariants=True
    )
    rank = min(dim, num_items, len(histories))
    _, values, right = torch.svd_lowrank(matrix, q=min(rank + 8, num_items, len(histories)), niter=8)
    vectors = right[:, :rank] * values[:rank].sqrt()
    if rank < dim:  # fewer users than dimensions: fill up with noise, so that codes stay different
        vectors = torch.cat((vectors, torch.randn(num_items, dim - rank)), dim=1)
    return vectors


def _run_kmeans(points: Tensor, count: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute centroids (count, D) and the nearest of them for each point (N,).

    Starts from the mean, and splits the heaviest centroids in two until there are enough (Linde, Buzo and Gray, 1980):
    a better start than random points, with fewer rounds. A centroid without points moves to a random point.
    """
    if len(points) <= count:
        return F.pad(points, (0, 0, 0, count - len(points))), torch.arange(len(points))
    sample = torch.randperm(len(points))[:SAMPLE]
    sample_points, sample_weights = points[sample], weights[sample]
    weighted_points, deviation = sample_points * sample_weights[:, None], sample_points.std(0, correction=0)
    centroids = (weighted_points.sum(0) / sample_weights.sum())[None]
    sizes = sample_weights.sum()[None]
    while True:
        is_last = len(centroids) == count
        for _ in range(KMEANS_ROUNDS if is_last else SPLIT_ROUNDS):
            nearest = find_nearest(sample_points, centroids)
            sums = torch.zeros_like(centroids).index_add_(0, nearest, weighted_points)
            sizes = torch.zeros(len(centroids)).index_add_(0, nearest, sample_weights)
            centroids = sums / sizes.clamp_min(1e-12)[:, None]
            is_empty = sizes == 0
            centroids[is_empty] = sample_points[torch.randint(len(sample_points), (int(is_empty.sum()),))]
        if is_last:
            return centroids, find_nearest(points, centroids)
        heaviest = sizes.topk(min(len(centroids), count - len(centroids))).indices
        spread = SPLIT_DISTANCE * deviation / len(centroids) ** (1 / points.shape[1])
        steps = torch.randn(len(heaviest), points.shape[1]) * spread
        centroids = torch.cat((centroids.index_add(0, heaviest, -steps), centroids[heaviest] + steps))


def find_nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Find the nearest of up to 256 centroids for each point: (N, D) and (count, D) → (N,) int64.

    A minimum is four times as fast as a minimum with its position, so the position replaces the last bits of a
    distance: centroids whose squared distances differ by less than about 1e-4 of them are equally near.
    """
    mask = (1 << (len(centroids) - 1).bit_length()) - 1
    positions = torch.arange(len(centroids), dtype=torch.int32)[:, None]
    halves = centroids.square().sum(1, keepdim=True) / 2
    nearest = []
    for chunk in points.split(max(1, CHUNK_DISTANCES // len(centroids))):
        distances = torch.addmm(halves, centroids, chunk.T, alpha=-1).add_(chunk.square().sum(1) / 2).clamp_min_(0)
        # Floats above zero are ordered like their bits.
        ordered = distances.view(torch.int32).bitwise_and_(~mask).bitwise_or_(positions)
        nearest.append(ordered.amin(0).bitwise_and_(mask))
    return torch.cat(nearest).long()
