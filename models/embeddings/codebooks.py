"""Codebooks of product quantization: free centroids, or pairs of scalar levels.

A free centroid is any vector. With scalar levels each feature has a few values of its own, and a code selects one for
each of two features: L² centroids per subspace that are stored as 2 · L numbers. Sixteen levels lose 0.0095 of the
variance of a normal distribution (Max, 1960), between 128 and 256 free centroids of two features, and the codebooks
take 4 kB instead of 33 to 66. So a small catalogue can have codes of a byte.
"""

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


class Codebooks(Protocol):
    """Centroids of all subspaces; their values are fitted in `num_parts` parts of a vector, `part_size` values each."""

    num_parts: int
    part_size: int

    @property
    def weight(self) -> Tensor:
        """(m · codebook, width), the centroids of the first subspace first."""

    def __call__(self, rows: Tensor) -> Tensor:
        """(…) rows of `weight` → (…, width)"""

    def compute_products(self, hidden: Tensor) -> NDArray[np.float32]:
        """(B, dim) → (B, m · codebook): the product of each vector with each centroid, on the CPU.

        In numpy, which uses one thread for a product this small; torch uses all of its threads, is slower and takes
        four times the CPU time.
        """

    def get_values(self) -> Tensor:
        """(num_parts · part_size, dim / num_parts), those of the first part first."""

    def set_values(self, values: Tensor) -> None:
        """Replace all values, in the shape of `get_values`."""

    def join(self, codes: Tensor) -> Tensor:
        """(n, num_parts) codes of parts → (n, m) codes of subspaces"""

    def split(self, codes: Tensor) -> Tensor:
        """(n, m) codes of subspaces → (n, num_parts) codes of parts"""


class FreeCodebooks(nn.Embedding):
    """A part is a subspace."""

    def __init__(self, num_subspaces: int, codebook_size: int, width: int) -> None:
        super().__init__(num_subspaces * codebook_size, width)
        self.num_parts, self.part_size = num_subspaces, codebook_size

    def compute_products(self, hidden: Tensor) -> NDArray[np.float32]:
        flat = hidden.float().unflatten(1, (self.num_parts, -1)).transpose(0, 1).numpy()  # (m, B, width)
        codebooks = self.weight.detach().float().unflatten(0, (self.num_parts, self.part_size))
        products = np.matmul(flat, codebooks.transpose(1, 2).numpy())  # (m, B, codebook)
        return np.ascontiguousarray(products.transpose(1, 0, 2)).reshape(len(hidden), -1)

    def get_values(self) -> Tensor:
        return self.weight.detach()

    @torch.no_grad()
    def set_values(self, values: Tensor) -> None:
        self.weight.copy_(values)

    def join(self, codes: Tensor) -> Tensor:
        return codes

    def split(self, codes: Tensor) -> Tensor:
        return codes


class ScalarCodebooks(nn.Module):
    """A part is a feature; code a · L + b of a subspace selects level a of its first feature and b of its second one.

    The artifact holds them as `pieces.levels.weight` (dim, L).
    """

    def __init__(self, dim: int, num_levels: int) -> None:
        super().__init__()
        self.levels = nn.Embedding(dim, num_levels)
        self.num_parts, self.part_size = dim, num_levels

    @property
    def weight(self) -> Tensor:
        size = (-1, self.part_size, self.part_size)
        first, second = self.levels.weight[0::2, :, None].expand(size), self.levels.weight[1::2, None, :].expand(size)
        return torch.stack((first, second), dim=-1).flatten(0, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return F.embedding(rows, self.weight)

    def compute_products(self, hidden: Tensor) -> NDArray[np.float32]:
        products = hidden.float().numpy()[:, :, None] * self.levels.weight.detach().float().numpy()  # (B, dim, L)
        sums: NDArray[np.float32] = products[:, 0::2, :, None] + products[:, 1::2, None, :]
        return sums.reshape(len(hidden), -1)

    def get_values(self) -> Tensor:
        return self.levels.weight.detach().reshape(-1, 1)

    @torch.no_grad()
    def set_values(self, values: Tensor) -> None:
        self.levels.weight.copy_(values.view_as(self.levels.weight))

    def join(self, codes: Tensor) -> Tensor:
        return codes[:, 0::2] * self.part_size + codes[:, 1::2]

    def split(self, codes: Tensor) -> Tensor:
        return torch.stack((codes // self.part_size, codes % self.part_size), dim=-1).flatten(1)
