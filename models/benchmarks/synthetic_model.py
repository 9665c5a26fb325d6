"""Models of any size without training, whose item vectors have neighbourhoods as trained ones have.

What an exact scan costs does not depend on what a model has learnt. What an approximate index costs does: vectors drawn
at random are all equally far from each other, and no index finds anything among them. So

- items stand in clusters, in no order: an item has a share `SHARED` of its cluster's codes, or of the variance of its
  vector, and the rest is its own;
- the encoder's matrices are so narrow that what it says after a history stays near the newest items, where a trained
  model's answers are.

At 20,000 items an index must read as much of these as of trained tables of that size, and clusters grow with the root
of the catalogue, because for trained tables the number of lists that must be read hardly grows (models/LOG.md). It is
made-up data all the same, and so is a recall measured here.
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
"""Times the root of the number of items: 85 of them at 20,000 items, 1,900 at ten million."""
SHARED = 0.75
NARROW = 0.7
"""Of the width at which a matrix keeps the length of what it multiplies."""
CHUNK = 1 << 18  # items made at once


@torch.no_grad()
def make_synthetic_model(config: ModelConfig, catalogue: Catalogue, seed: int) -> SequentialRecommender:
    """The preset at its usual sizes, weights so wide that scores differ."""
    torch.manual_seed(seed)
    model = build_model(complete_config(config, catalogue), catalogue.num_items)
    width = config.dim**-0.5
    for name, matrix in model.named_parameters():
        if matrix.ndim > 1:
            matrix.normal_(std=width if name.startswith(("embedding", "head")) else NARROW * width)
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
    """Codes of items in so many clusters, by torch's own generator; the padding keeps zeros."""
    of_clusters = torch.randint(embedding.codebook_size, (clusters, embedding.num_subspaces))
    for kept in embedding.kept[1:].split(CHUNK):
        codes = of_clusters[torch.randint(clusters, (len(kept),))]
        own = torch.rand(codes.shape) >= SHARED
        codes[own] = torch.randint(embedding.codebook_size, (int(own.sum()),))
        kept.copy_(packing.pack(codes) if embedding.is_packed else codes.to(torch.uint8))


def _fill_vectors(table: Tensor, clusters: int, width: float) -> None:
    """Row 0, the padding, becomes zero."""
    centres = torch.randn(clusters, table.shape[1]) * width * SHARED**0.5
    table[0] = 0
    for vectors in table[1:].split(CHUNK):  # which hold random numbers of this width
        vectors.mul_((1 - SHARED) ** 0.5).add_(centres[torch.randint(clusters, (len(vectors),))])
