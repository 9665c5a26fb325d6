"""Refinement of product-quantization codes for the scores that they give, at the same number of bytes.

A hidden vector h scores item i with h·v_i, so an error d_i of the item's vector costs E[(h·d_i)²] = d_i' M d_i with the
second moments M = E[h h']. Hidden vectors are far from equally long in all directions, so codes that minimize this are
better than the nearest centroids, which treat all directions alike. Score-aware losses of this kind are known from
search (Guo et al., ICML 2020); there the queries are unknown, here the model produces them.
"""

import torch
from torch import Tensor

from models.embeddings.assignment import find_nearest

ROUNDS = 3
PLAIN_SHARE = 0.3
"""Weight of the plain squared error next to that of the scores: item vectors are the encoder's input as well."""


def refine_codes(
    vectors: Tensor, weights: Tensor, codes: Tensor, centroids: Tensor, moments: Tensor
) -> tuple[Tensor, Tensor]:
    """Improve codes (V, m) and centroids (m · k, D / m) of `vectors` (V, D) in rounds over the subspaces.

    `weights` (V,) weigh the errors of the items, `moments` (D, D) are the second moments of hidden vectors. Every step
    is one of k-means in one subspace, towards the vectors that would be best given the errors of all other subspaces.
    """
    num_subspaces, width = codes.shape[1], centroids.shape[1]
    metric = moments / moments.diagonal().mean().clamp_min(1e-12) + PLAIN_SHARE * torch.eye(len(moments))
    codes, codebooks = codes.clone(), centroids.clone().unflatten(0, (num_subspaces, -1))
    approximations = torch.cat([codebooks[j][codes[:, j]] for j in range(num_subspaces)], dim=1)
    for _ in range(ROUNDS):
        for j in range(num_subspaces):
            part = slice(j * width, (j + 1) * width)
            inner = metric[part, part]
            errors = (vectors - approximations) @ metric[:, part]
            targets = approximations[:, part] + torch.linalg.solve(inner, errors.T).T
            root = torch.linalg.cholesky(inner)
            codes[:, j] = find_nearest(targets @ root, codebooks[j] @ root)
            codebooks[j] = _average(targets, weights, codes[:, j], codebooks[j])
            approximations[:, part] = codebooks[j][codes[:, j]]
    return codes, codebooks.flatten(0, 1)


def _average(points: Tensor, weights: Tensor, nearest: Tensor, centroids: Tensor) -> Tensor:
    """Move every centroid to the weighted mean of its points; one without points stays."""
    sums = torch.zeros_like(centroids).index_add_(0, nearest, points * weights[:, None])
    sizes = torch.zeros(len(centroids)).index_add_(0, nearest, weights)[:, None]
    return torch.where(sizes > 0, sums / sizes.clamp_min(1e-12), centroids)
