"""The tensors of a preset at a size, by name and bytes: of the model itself, on torch's meta device, without memory.

Knows which of them a worker maps and which it reads, by the same rule as the load of an artifact. It knows no file and
no process.
"""

from dataclasses import dataclass

import torch

from models.artifact import MIN_MMAP_BYTES
from models.build import build_uninitialized_model
from models.config import ModelConfig
from models.embeddings.codes import CodesEmbedding
from models.indexing import MIN_INDEX_ITEMS
from models.scorers.ann.indexes import IndexEstimate, estimate_index
from models.scorers.selection import ScorerEstimate, estimate_scorers

MIN_ITEMS, MAX_ITEMS = 64, 1_000_000_000
"""Fewer give a smaller codebook, which the data decides."""
BATCH = 32  # the largest of a service as it is set


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Bytes of a model with `items` items; `table_form` is codes, full or another embedding's name."""

    preset: str
    items: int
    tensors: dict[str, int]
    scorers: ScorerEstimate
    table_form: str
    planned_index: IndexEstimate | None
    """None where no index fits."""
    score_bytes: int
    """Of a batch of 32, where everything is scored at once."""
    hidden_bytes: int
    """Of hidden vectors of all positions of a batch of 32."""

    @property
    def weights(self) -> int:
        return sum(self.tensors.values())

    @property
    def mapped_weights(self) -> int:
        """Of tensors that stay in the file, and are shared by workers."""
        return sum(size for size in self.tensors.values() if size >= MIN_MMAP_BYTES)

    @property
    def index(self) -> IndexEstimate:
        """ValueError for a catalogue or a head that gets no index."""
        if self.planned_index is None:
            raise ValueError(f"--index: {self.preset} scores no inner products, so no index fits")
        if self.items < MIN_INDEX_ITEMS:
            raise ValueError(f"--index: an index is made from {MIN_INDEX_ITEMS:,} items on, not for {self.items:,}")
        return self.planned_index


def compute_shape(config: ModelConfig, items: int) -> ModelShape:
    """Without categories, which is what a model without its data has; ValueError for parts that do not fit."""
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
