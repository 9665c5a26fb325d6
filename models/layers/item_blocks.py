"""Cuts of a catalogue, sorted by popularity, into blocks, and the rank of each block, as plain integers.

CpRec (arXiv 2004.13139), section on block-wise adaptive decomposition. The paper's cut points are
0 = k_0 < k_1 < … < k_n = K. Item indices start at 1 here, so block j contains the indices k_{j−1} + 1 … k_j, and
padding, index 0, is in no block.
"""

from collections.abc import Sequence

HEAD, MIDDLE = 0.1, 0.5
"""Default cuts as shares of the catalogue; at dim 64 and factor 4 a fourth block would have rank 1."""


def compute_block_ends(num_items: int, cuts: Sequence[float] | None) -> tuple[int, ...]:
    """Compute the ends k_1 … k_n of all blocks; the last is `num_items`, and no block is empty.

    `cuts` are the ends of all blocks except the last: numbers of items, or all of them shares of the catalogue between
    0 and 1. By default the first block has a tenth of the items and the second the next four tenths. Shares of
    catalogues that are too small for all blocks give fewer of them.
    """
    shares = (HEAD, MIDDLE) if cuts is None else tuple(cuts)
    if all(0 < share < 1 for share in shares) and shares:
        rounded = {max(1, round(share * num_items)) for share in shares}
        return (*sorted(cut for cut in rounded if cut < num_items), num_items)
    ends = (*(int(cut) for cut in shares), num_items)
    if any(end <= start for start, end in zip((0, *ends), ends, strict=False)):
        raise ValueError(f"cuts must increase and be from 1 to {num_items - 1}, or all be below 1 (got {list(shares)})")
    return ends


def compute_block_sizes(ends: Sequence[int]) -> tuple[int, ...]:
    """Compute k_j − k_{j−1} of every block."""
    return tuple(end - start for start, end in zip((0, *ends[:-1]), ends, strict=True))


def compute_block_ranks(dim: int, blocks: int, factor: int, ranks: Sequence[float] | None = None) -> tuple[int, ...]:
    """Compute d_j = max(1, ⌊dim / factor^(j−1)⌋): blocks of rarer items get a lower rank.

    Embedding and head use the same rule. A factor of 1 disables the decomposition and keeps the blocks. `ranks` replace
    d_2 … d_n: numbers, or shares of `dim` below 1. With fewer blocks, as in a small catalogue, the last are unused.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1 (got {factor})")
    if ranks is None:
        return tuple(max(1, dim // factor**j) for j in range(blocks))
    widths = [max(1, round(rank * dim)) if 0 < rank < 1 else int(rank) for rank in ranks]
    if len(widths) < blocks - 1 or not all(1 <= width <= dim for width in widths):
        raise ValueError(f"ranks must be {blocks - 1} numbers from 1 to {dim}, or shares below 1 (got {list(ranks)})")
    return (dim, *widths[: blocks - 1])
