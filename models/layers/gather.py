"""Some positions of a sequence, for layers that need not compute the others."""

from torch import Tensor


def gather_positions(x: Tensor, at: Tensor) -> Tensor:
    """(B, T, dim) → (B, P, dim): row b at the positions at[b] (B, P)."""
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
