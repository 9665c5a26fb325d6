"""Item ids of a request as keys, hashed in steps between which the event loop serves other requests."""

import asyncio

import numpy as np

from models.catalogue.item_key import ItemKeys, item_keys

NO_ITEMS: ItemKeys = np.empty(0, dtype="<u8")
MAX_HASHED_TOGETHER = 5000
"""Most item ids that are hashed in one step of the event loop: some 3 ms."""


async def compute_keys(item_ids: list[str]) -> ItemKeys:
    """Hash item ids, a long list in pieces between which the event loop serves other requests."""
    if len(item_ids) <= MAX_HASHED_TOGETHER:
        return item_keys(item_ids) if item_ids else NO_ITEMS
    pieces = []
    for start in range(0, len(item_ids), MAX_HASHED_TOGETHER):
        pieces.append(item_keys(item_ids[start : start + MAX_HASHED_TOGETHER]))
        await asyncio.sleep(0)
    return np.concatenate(pieces)
