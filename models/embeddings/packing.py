"""Six-bit packing: four codes in three bytes, a quarter less memory than a byte per code.

Bytes b0 b1 b2 are the number b0 + 256·b1 + 65,536·b2, and code j of the four is its six bits from bit 6·j on.
"""

import torch
from torch import Tensor

GROUP_CODES, GROUP_BYTES = 4, 3
MAX_CODES = 64
"""Codes must be below this."""


def pack(codes: Tensor) -> Tensor:
    """(…, m) codes, m a multiple of 4 → (…, 3 m / 4) uint8."""
    assert codes.shape[-1] % GROUP_CODES == 0
    word = (codes.long().unflatten(-1, (-1, GROUP_CODES)) << _make_shifts(GROUP_CODES, 6, codes)).sum(-1, keepdim=True)
    packed: Tensor = (word >> _make_shifts(GROUP_BYTES, 8, codes)).bitwise_and(255).flatten(-2).to(torch.uint8)
    return packed


def unpack(packed: Tensor) -> Tensor:
    """(…, 3 m / 4) uint8 → (…, m) int64"""
    byte_values = packed.long().unflatten(-1, (-1, GROUP_BYTES))
    word = (byte_values << _make_shifts(GROUP_BYTES, 8, packed)).sum(-1, keepdim=True)
    codes: Tensor = (word >> _make_shifts(GROUP_CODES, 6, packed)).bitwise_and(MAX_CODES - 1).flatten(-2)
    return codes


def _make_shifts(count: int, bits: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device) * bits
