"""Six-bit codes, four of them in three bytes: a quarter less memory than a byte per code.

Bytes b0 b1 b2 are the number b0 + 256·b1 + 65,536·b2, and code j of the four is its six bits from bit 6·j on.
"""

import torch
from torch import Tensor

CODES, BYTES = 4, 3
LARGEST = 64
"""Codes are below this."""


def pack(codes: Tensor) -> Tensor:
    """(…, m) codes, m a multiple of 4 → (…, 3 m / 4) uint8."""
    assert codes.shape[-1] % CODES == 0
    word = (codes.long().unflatten(-1, (-1, CODES)) << _steps(CODES, 6, codes)).sum(-1, keepdim=True)
    packed: Tensor = (word >> _steps(BYTES, 8, codes)).bitwise_and(255).flatten(-2).to(torch.uint8)
    return packed


def unpack(packed: Tensor) -> Tensor:
    """(…, 3 m / 4) uint8 → (…, m) int64"""
    word = (packed.long().unflatten(-1, (-1, BYTES)) << _steps(BYTES, 8, packed)).sum(-1, keepdim=True)
    codes: Tensor = (word >> _steps(CODES, 6, packed)).bitwise_and(LARGEST - 1).flatten(-2)
    return codes


def _steps(count: int, bits: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device) * bits
