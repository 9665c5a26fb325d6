"""Mixed-radix representation of an index: a few digits, each with its own base."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def choose_two_bases(count: int, fineness: int) -> tuple[int, int]:
    """Choose bases m_1 = fineness · ⌈√count⌉ and m_2 = ⌈count / m_1⌉ for `count` indices, so m_1 · m_2 ≥ count.

    A fineness of 1 minimizes m_1 + m_2; larger values add rows, so fewer items share a row.
    """
    first = min(count, fineness * (math.isqrt(count - 1) + 1))
    return first, -(-count // first)


def to_digits(index: Tensor, bases: Sequence[int]) -> Tensor:
    """(…,) indices from 0 → (…, N): digit n is ⌊index / Π_{k<n} m_k⌋ mod m_n; unique for indices below Π m_n.

    LSAN (CIKM 2021), section 3.1: the remainder modulo m_1 selects a row of the first table, and the quotient is
    divided in the same way for the next tables.
    """
    remainders = []
    for base in bases:
        remainders.append(index % base)
        index = index // base
    return torch.stack(remainders, dim=-1)
