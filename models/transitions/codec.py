"""Bytes of a row of the transition memory, in numpy, so that a process without torch can read followers.

A row has, for F followers, the bytes of their catalogue indices (lowest bytes of all followers first), a byte for each
probability, and a byte for the number of transitions that were counted.
"""

import numpy as np
from numpy.typing import NDArray

PROBABILITY_STEP = 0.04
_CODES = np.arange(256, dtype=np.float32)
PROBABILITIES: NDArray[np.float32] = np.where(_CODES > 0, np.exp(PROBABILITY_STEP * (_CODES - 255)), 0).astype(
    np.float32
)
"""Probability of each code: 0, then 4e-5 to 1 in steps of 4 %."""
MIN_INDEX_BYTES = 2


def count_index_bytes(num_items: int) -> int:
    """Count the bytes of the largest index: two up to 65,535 items, then three, then four."""
    return max(MIN_INDEX_BYTES, (num_items.bit_length() + 7) // 8)


def pack_indices(indices: NDArray[np.int64], num_bytes: int) -> NDArray[np.uint8]:
    """(…, F) indices → (…, num_bytes · F) uint8, the lowest bytes of all indices first."""
    return np.concatenate([(indices >> (8 * byte) & 255).astype(np.uint8) for byte in range(num_bytes)], axis=-1)


def unpack_indices(packed: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """(…, num_bytes · count) uint8 → (…, count)"""
    indices = packed[..., :count].astype(np.int64)
    for byte in range(1, packed.shape[-1] // count):
        indices |= packed[..., byte * count : (byte + 1) * count].astype(np.int64) << (8 * byte)
    return indices
