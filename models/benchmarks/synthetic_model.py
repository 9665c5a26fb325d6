"""Untrained models of any size whose item vectors are clustered like trained ones.

The cost of an exact scan does not depend on training. The cost of an approximate index does: uniformly random vectors
are all equally far apart, and no index is effective on them. Therefore

- items form clusters, in no order: a fraction `SHARED` of an item's codes, or of its vector's variance, comes from its
  cluster;
- the encoder's matrices are scaled down, so that its output for a history stays near the newest items, where a trained
  model's top items are.

At 20,000 items an index must read as much of these tables as of trained ones, and the number of clusters grows with
the square root of the catalogue, because for trained tables the number of lists to probe hardly grows
(models/LOG.md). The data is synthetic all the same, and so is a recall measured on it.
"""

import math

import torch
from torch import Tensor

from models.build import build_model, complete_config
from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig
from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.embeddings.full import FullEmbedding
from models.heads.popularity import PopularityHead
from models.recommender import SequentialRecommender

CLUSTERS = 0.6
"""Clusters per square root of the number of items: 85 clusters at 20,000 items, 1,900 at ten million."""
SHARED = 0.75
ENCODER_SCALE = 0.7
"""Relative to the width at which a matrix preserves the norm of its input."""
CHUNK = 1 << 18  # items per step


@torch.no_grad()
def make_synthetic_model(config: ModelConfig, catalogue: Catalogue, seed: int) -> SequentialRecommender:
    """Build the preset at its usual sizes, with weights so wide that scores differ."""
    torch.manual_seed(seed)
    model = build_model(complete_config(config, catalogue), catalogue.num_items)
    width = config.dim**-0.5
    for name, matrix in model.named_parameters():
        if matrix.ndim > 1:
            matrix.normal_(std=width if name.startswith(("embedding", "head")) else ENCODER_SCALE * width)
    clusters = compute_cluster_count(catalogue.num_items)
    if isinstance(embedding := model.embedding, CodesEmbedding):
        fill_codes(embedding, clusters)
    elif isinstance(embedding, FullEmbedding):
        _fill_vectors(embedding.vectors.weight, clusters, width)
    if isinstance(head := model.head, PopularityHead):
        head.counts[1:] = torch.from_numpy(catalogue.counts)
    return model.eval()


def compute_cluster_count(num_items: int) -> int:
    return max(1, round(CLUSTERS * math.sqrt(num_items)))


def fill_codes(embedding: CodesEmbedding, clusters: int) -> None:
    """Assign clustered codes to all items, using torch's global generator; padding keeps zeros."""
    cluster_codes = torch.randint(embedding.codebook_size, (clusters, embedding.num_subspaces))
    for rows in embedding.kept[1:].split(CHUNK):
        codes = cluster_codes[torch.randint(clusters, (len(rows),))]
        is_individual = torch.rand(codes.shape) >= SHARED
        codes[is_individual] = torch.randint(embedding.codebook_size, (int(is_individual.sum()),))
        rows.copy_(packing.pack(codes) if embedding.is_packed else codes.to(torch.uint8))


def _fill_vectors(table: Tensor, clusters: int, width: float) -> None:
    """Move random vectors of this width towards cluster centers; row 0, the padding, becomes zero."""
    centers = torch.randn(clusters, table.shape[1]) * width * SHARED**0.5
    table[0] = 0
    for vectors in table[1:].split(CHUNK):
        vectors.mul_((1 - SHARED) ** 0.5).add_(centers[torch.randint(clusters, (len(vectors),))])
