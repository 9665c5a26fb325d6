"""Names and bytes of the tensors of a preset at a size, from a model on torch's meta device.

Which tensors a worker memory-maps follows the same rule as loading an artifact.
"""

from dataclasses import dataclass, replace

import torch

from models.build import build_uninitialized_model
from models.config import ModelConfig, Part
from models.embeddings.codes import CodesEmbedding, complete_codebook
from models.indexing import MIN_INDEX_ITEMS
from models.scorers.ann.indexes import IndexEstimate, estimate_index
from models.scorers.selection import ScorerEstimate, estimate_scorers
from models.weights import MIN_MMAP_BYTES

MIN_ITEMS, MAX_ITEMS = 64, 1_000_000_000
"""With fewer items the data determines a smaller codebook."""
BATCH = 32  # largest batch with default settings


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Bytes of a model with `items` items; `table_form` is `codes`, `full` or another embedding."""

    preset: str
    items: int
    tensors: dict[str, int]
    scorers: ScorerEstimate
    table_form: str
    planned_index: IndexEstimate | None
    """None if the head supports no index."""
    score_bytes: int
    """Scores of a batch of 32 if all items are scored at once."""
    hidden_bytes: int
    """Hidden vectors of all positions of a batch of 32."""

    @property
    def weights(self) -> int:
        return sum(self.tensors.values())

    @property
    def mapped_weights(self) -> int:
        """Bytes of tensors that stay memory-mapped and are shared by workers."""
        return sum(size for size in self.tensors.values() if size >= MIN_MMAP_BYTES)

    @property
    def index(self) -> IndexEstimate:
        """The index of this model; ValueError if its catalogue or head gets none."""
        if self.planned_index is None:
            raise ValueError(f"--index requires a head that scores inner products ({self.preset} does not)")
        if self.items < MIN_INDEX_ITEMS:
            raise ValueError(f"--index requires at least {MIN_INDEX_ITEMS:,} items (got {self.items:,})")
        return self.planned_index


def compute_shape(config: ModelConfig, items: int) -> ModelShape:
    """Compute the shape of a model without categories; ValueError for parts that do not fit together."""
    if config.embedding.name == "codes":
        config = replace(config, embedding=Part("codes", complete_codebook(items, config.embedding.options)))
    with torch.device("meta"):
        model = build_uninitialized_model(config, items)
    scorers = estimate_scorers(model)
    return ModelShape(
        preset=config.preset,
        items=items,
        tensors={name: tensor.nbytes for name, tensor in model.state_dict().items()},
        scorers=scorers,
        table_form="codes" if isinstance(model.embedding, CodesEmbedding) else config.embedding.name,
        planned_index=estimate_index(model, scorers.extra_bytes),
        score_bytes=4 * BATCH * (items + 1),
        hidden_bytes=4 * BATCH * config.max_len * config.dim,
    )
