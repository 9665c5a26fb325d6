"""The 64-bit key under which a history stores an item: a function of the external id alone.

A key does not depend on a catalogue, a process or a Redis, so histories survive retraining, restarts and fail-over
without a dictionary that could be lost or disagree (DECISIONS.md, decision 5). It knows no catalogue:
`models/catalogue/key_index.py` has the table from keys to the indices of one.
"""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

ItemKeys = NDArray[np.uint64]

KEY_BYTES = 8


def item_key(item_id: str) -> bytes:
    """Eight bytes, little endian when read as a number."""
    return blake2b(item_id.encode(), digest_size=KEY_BYTES).digest()


def item_keys(item_ids: Iterable[str]) -> ItemKeys:
    """The keys of many items, in their order: (n,) uint64."""
    return np.frombuffer(b"".join(map(item_key, item_ids)), dtype="<u8")
