"""One large index as a few small ones: its digits in a number system where every place has a base of its own."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def choose_two_bases(count: int, fineness: int) -> tuple[int, int]:
    """Bases (m_1, m_2) for `count` indices, m_1 = fineness · ⌈√count⌉ and m_2 = ⌈count / m_1⌉, so m_1 · m_2 ≥ count.

    A fineness of 1 makes m_1 + m_2 smallest; a larger one gives more rows to share out.
    """
    first = min(count, fineness * (math.isqrt(count - 1) + 1))
    return first, -(-count // first)


def to_digits(index: Tensor, bases: Sequence[int]) -> Tensor:
    """(…,) indices from 0 → (…, N): digit n is ⌊index / Π_{k<n} m_k⌋ mod m_n. No two indices below Π m_n are alike.

    LSAN (CIKM 2021), section 3.1: the remainder by m_1 chooses a row of the first table, and what earlier tables left
    of the quotient chooses a row of the next.
    """
    found = []
    for base in bases:
        found.append(index % base)
        index = index // base
    return torch.stack(found, dim=-1)
