"""Where a catalogue that is sorted by popularity is cut into blocks, and how wide each block may be: plain integers.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition. The paper's cut points are
0 = k_0 < k_1 < … < k_n = K. Item indices start at 1 here, so block j holds the indices k_{j−1} + 1 … k_j, and padding,
index 0, is in no block.
"""

from collections.abc import Sequence

HEAD, MIDDLE = 0.1, 0.5
"""Default cuts as shares of the catalogue. Three blocks: at dim 64 and factor 4 a fourth would have rank 1."""


def compute_block_ends(num_items: int, cuts: Sequence[int] | None) -> tuple[int, ...]:
    """The ends k_1 … k_n of all blocks, the last of them `num_items`; no block is empty.

    `cuts` are the ends of all blocks but the last. Without them a tenth of the items is the first block and the next
    four tenths are the second; catalogues too small for three blocks get fewer.
    """
    if cuts is None:
        wanted = {max(1, round(share * num_items)) for share in (HEAD, MIDDLE)}
        return (*sorted(cut for cut in wanted if cut < num_items), num_items)
    ends = (*cuts, num_items)
    if any(end <= start for start, end in zip((0, *cuts), ends, strict=True)):
        raise ValueError(f"cuts must rise from at least 1 to less than {num_items} items, not {list(cuts)}")
    return ends


def compute_block_sizes(ends: Sequence[int]) -> tuple[int, ...]:
    """k_j − k_{j−1} of every block."""
    return tuple(end - start for start, end in zip((0, *ends[:-1]), ends, strict=True))


def compute_block_ranks(dim: int, blocks: int, factor: int) -> tuple[int, ...]:
    """d_j = max(1, ⌊dim / factor^(j−1)⌋): the rarer the items of a block, the fewer numbers each of them gets.

    Input and output use this one rule. A factor of 1 switches the decomposition off and leaves the blocks.
    """
    if factor < 1:
        raise ValueError(f"factor must be 1 or more, not {factor}")
    return tuple(max(1, dim // factor**j) for j in range(blocks))
