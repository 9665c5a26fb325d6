"""Checks of an IVF-PQ index that was read from a file: native code reads slots and lists without another check."""

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.native.block_scanner import BLOCK_ITEMS, ROW_BYTES
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import CHUNK_ITEMS, check_index_numbers
from models.scorers.ann.ivf_pq import IvfPqIndex, pack_slots
from models.scorers.exact.native_blocks import get_six_bit_embedding


@torch.inference_mode()
def check_ivf_pq(index: IvfPqIndex, model: SequentialRecommender) -> None:
    """ValueError unless each item is in one slot with its own codes, and all arrays fit together.

    A model without six-bit codes does not use the index.
    """
    embedding = get_six_bit_embedding(model)
    if embedding is None:
        return
    num_blocks, num_lists = len(index.blocks), len(index.centres)
    forms = {
        "centres": (torch.float32, (num_lists, embedding.dim)),
        "radii": (torch.float32, (num_lists,)),
        "starts": (torch.int64, (num_lists + 1,)),
        "items": (torch.int32, (num_blocks * BLOCK_ITEMS,)),
        "blocks": (torch.uint8, (num_blocks, embedding.num_subspaces, ROW_BYTES)),
    }
    for name, (dtype, shape) in forms.items():
        array: Tensor = getattr(index, name)
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {tuple(array.shape)} instead of {dtype} {shape}")
    check_index_numbers(index.nprobe, num_lists, index.recall)
    if not all(bool(array.isfinite().all()) for array in (index.centres, index.radii)):
        raise ValueError("centres or radii hold a number that is not finite")
    if int(index.starts[0]) != 0 or int(index.starts[-1]) != num_blocks or bool((index.starts.diff() < 0).any()):
        raise ValueError(f"starts must rise from 0 to {num_blocks} blocks")
    _check_slots(index, embedding)


def _check_slots(index: IvfPqIndex, embedding: CodesEmbedding) -> None:
    is_in_slot = torch.zeros(embedding.num_items + 1, dtype=torch.bool)
    num_used = 0
    parts = index.items.split(CHUNK_ITEMS), index.blocks.split(CHUNK_ITEMS // BLOCK_ITEMS)
    for items, blocks in zip(*parts, strict=True):
        low, high = (int(bound) for bound in items.aminmax())
        if low < 0 or high > embedding.num_items:
            raise ValueError(f"items holds items from {low} to {high:,} of {embedding.num_items:,}")
        if not torch.equal(pack_slots(embedding, items), blocks):
            raise ValueError("blocks holds other codes than the model")
        is_in_slot[items.long()] = True
        num_used += int(items.count_nonzero())
    if num_used != embedding.num_items or not bool(is_in_slot[1:].all()):
        raise ValueError("items must hold each item once")
