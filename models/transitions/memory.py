"""Transition memory: for each item its strongest followers, with learned weights for mixing them with a model.

Items of the history itself can be candidates, too, where users repeat items; that takes no bytes per item.

`codec.py` has the layout of a row of `rows`. Probabilities and counts are on logarithmic scales, which keep two digits
of large and small ones alike. Everything is a buffer: gradients of the model do not reach it, and it is stored with the
weights.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.transitions.codec import PROBABILITY_STEP, count_index_bytes, pack_indices, unpack_indices

COUNTED_STEPS = 5
"""Steps within which an item counts as a follower."""
LOOKBACK = 10
"""Newest items of a history that are candidates, with their followers."""
NUM_ESTIMATES = 2
"""Logarithms of the model's normalizer and of its largest probability; the latter only in artifacts of format 1."""
NEVER = -1e4
"""Weight, as a logarithm, of a distance at which nothing counts."""
NUM_FEATURES = 8
"""Features of an item's weight in addition to its distance (models/transitions/mixing.py)."""

CHECKED_ROWS = 1 << 18
"""Rows whose items are checked at once, which bounds the memory of the check."""

COUNT_STEP = 0.08
LOG_COUNTS: NDArray[np.float32] = COUNT_STEP * np.arange(256, dtype=np.float32)
"""log(1 + count) of each code; the largest is seven hundred million."""


class TransitionMemory(nn.Module):
    """`rows` (num_items + 1, bytes) uint8; row 0, the padding, and items without followers are zero.

    `gate` (2, LOOKBACK + NUM_FEATURES) are the weights of followers and of repeated items, both off until they are
    fitted. `scale` (1,) multiplies the model's scores within the mixture, the inverse of a temperature; `damping` (1,)
    is the power of the model's probability by which the weight of an item falls. The bias of `normalizer_out`
    (NUM_ESTIMATES, 1) is the logarithm of the mean normalizer. Memories of an earlier layout have a network there:
    `normalizer_in` (units, dim + 1), `normalizer_out` (NUM_ESTIMATES, units + 1), the bias as last column.
    """

    rows: Tensor
    gate: Tensor
    normalizer_in: Tensor
    normalizer_out: Tensor
    scale: Tensor
    damping: Tensor

    def __init__(self, num_items: int, dim: int, num_followers: int) -> None:
        super().__init__()
        self.num_items, self.num_followers, self.dim = num_items, num_followers, dim
        self.index_bytes = count_index_bytes(num_items)
        width = num_followers * (self.index_bytes + 1) + 1
        self.register_buffer("rows", torch.zeros(num_items + 1, width, dtype=torch.uint8))
        self.register_buffer("gate", torch.cat((torch.full((2, LOOKBACK), NEVER), torch.zeros(2, NUM_FEATURES)), dim=1))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("damping", torch.ones(1))
        self.register_buffer("normalizer_in", torch.zeros(0, dim + 1))
        self.register_buffer("normalizer_out", torch.zeros(NUM_ESTIMATES, 1))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Convert a memory of an earlier layout: five distances, no repeats, no damping, and a network."""
        gate = state_dict.get(f"{prefix}gate")
        if gate is not None and gate.dim() == 1:
            if not NUM_FEATURES < len(gate) <= LOOKBACK + NUM_FEATURES:
                raise ValueError(
                    f"{prefix}gate has {len(gate)} weights, at most {LOOKBACK + NUM_FEATURES} are possible"
                )
            converted = torch.full((2, LOOKBACK + NUM_FEATURES), NEVER)
            converted[0, : len(gate) - NUM_FEATURES] = gate[:-NUM_FEATURES]
            converted[0, LOOKBACK:] = gate[-NUM_FEATURES:]
            converted[1, LOOKBACK:] = 0
            state_dict[f"{prefix}gate"] = converted
            state_dict[f"{prefix}damping"] = torch.ones(1)
        for name in ("normalizer_in", "normalizer_out"):
            weights = state_dict.get(prefix + name)
            if weights is not None and weights.dim() == 2 and weights.shape != getattr(self, name).shape:
                self.register_buffer(name, torch.zeros_like(weights))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def check_buffers(self) -> None:
        """ValueError for a follower that is not in the catalogue, and for weights of the mixture of another form."""
        if not float(self.scale) > 0:
            raise ValueError(f"scale must be above 0 (got {float(self.scale):g})")
        hidden_units = len(self.normalizer_in)
        shapes = tuple(self.normalizer_in.shape), tuple(self.normalizer_out.shape)
        if shapes != ((hidden_units, self.dim + 1), (NUM_ESTIMATES, hidden_units + 1)):
            raise ValueError(f"normalizer has the shapes {shapes}, which do not fit together")
        split = self.num_followers * self.index_bytes
        for rows in self.rows.cpu().split(CHECKED_ROWS):
            highest = int(unpack_indices(rows[:, :split].numpy(), self.num_followers).max(initial=0))
            if highest > self.num_items:
                raise ValueError(f"rows holds item {highest:,} of a catalogue with {self.num_items:,} items")

    def store(
        self, followers: NDArray[np.int64], probabilities: NDArray[np.float64], counts: NDArray[np.float64]
    ) -> None:
        """Store (num_items + 1, F) followers, 0 for none, their probabilities, and (num_items + 1,) counts."""
        codes = 255 + np.rint(np.log(np.maximum(probabilities, 1e-9)) / PROBABILITY_STEP)
        codes = np.where(followers > 0, codes.clip(1, 255), 0).astype(np.uint8)
        count_codes = np.rint(np.log1p(counts) / COUNT_STEP).clip(0, 255).astype(np.uint8)
        packed = np.concatenate((pack_indices(followers, self.index_bytes), codes, count_codes[:, None]), axis=1)
        self.rows = torch.from_numpy(packed).to(self.rows.device)  # the old rows may be a read-only mapping

    def make_extended_rows(self, num_items: int) -> Tensor:
        """Return the rows of a catalogue with more items at its end, which have no followers and follow no item."""
        rows = self.rows.cpu().numpy()
        split = self.num_followers * self.index_bytes
        followers = unpack_indices(rows[:, :split], self.num_followers)
        packed = pack_indices(followers, count_index_bytes(num_items))
        extended = np.concatenate((packed, rows[:, split:]), axis=1)
        return torch.from_numpy(np.pad(extended, ((0, num_items - self.num_items), (0, 0))))
