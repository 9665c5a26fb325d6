"""Cuts of a catalogue, sorted by popularity, into blocks, and the rank of each block, as plain integers.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition. The paper's cut points are
0 = k_0 < k_1 < … < k_n = K. Item indices start at 1 here, so block j contains the indices k_{j−1} + 1 … k_j, and
padding, index 0, is in no block.
"""

from collections.abc import Sequence

HEAD, MIDDLE = 0.1, 0.5
"""Default cuts as shares of the catalogue; at dim 64 and factor 4 a fourth block would have rank 1."""


def compute_block_ends(num_items: int, cuts: Sequence[int] | None) -> tuple[int, ...]:
    """Compute the ends k_1 … k_n of all blocks; the last is `num_items`, and no block is empty.

    `cuts` are the ends of all blocks except the last. By default the first block has a tenth of the items and the
    second the next four tenths; catalogues too small for three blocks get fewer.
    """
    if cuts is None:
        defaults = {max(1, round(share * num_items)) for share in (HEAD, MIDDLE)}
        return (*sorted(cut for cut in defaults if cut < num_items), num_items)
    ends = (*cuts, num_items)
    if any(end <= start for start, end in zip((0, *cuts), ends, strict=True)):
        raise ValueError(f"cuts must increase and be from 1 to {num_items - 1} (got {list(cuts)})")
    return ends


def compute_block_sizes(ends: Sequence[int]) -> tuple[int, ...]:
    """Compute k_j − k_{j−1} of every block."""
    return tuple(end - start for start, end in zip((0, *ends[:-1]), ends, strict=True))


def compute_block_ranks(dim: int, blocks: int, factor: int) -> tuple[int, ...]:
    """Compute d_j = max(1, ⌊dim / factor^(j−1)⌋): blocks of rarer items get a lower rank.

    Embedding and head use the same rule. A factor of 1 disables the decomposition and keeps the blocks.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1 (got {factor})")
    return tuple(max(1, dim // factor**j) for j in range(blocks))
