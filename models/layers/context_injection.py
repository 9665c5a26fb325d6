"""Network that merges a vector with its context, initialized to return almost the vector itself."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContextInjection(nn.Module):
    """h̃_i = MLP([h_i ; r_i]), LSAN (CIKM 2021), section 3.1; here 2D → D → D with a SiLU between.

    `context_dim` is the width of r_i, D by default. `residual` adds h_i to the output: h̃_i = h_i + MLP([h_i ; r_i]).
    """

    def __init__(self, dim: int, context_dim: int | None = None, *, residual: bool = False) -> None:
        super().__init__()
        self.dim, self.residual = dim, residual
        self.merge = nn.Linear(dim + (dim if context_dim is None else context_dim), dim)
        self.out = nn.Linear(dim, dim)

    def reset_special(self) -> None:
        """Initialize to pass h_i through: if candidates are scored by h_i too, both then start in one space.

        A randomly initialized network would rotate h_i away from the candidates, and training would first have to undo
        that. Near zero SiLU(x) is x / 2, so the identity and twice the identity cancel it; r_i stays small and random.
        A residual network starts at zero, so it passes h_i through exactly.
        """
        with torch.no_grad():
            if self.residual:
                self.out.weight.zero_()
                return
            self.merge.weight[:, : self.dim] = torch.eye(self.dim)
            self.out.weight.copy_(2.0 * torch.eye(self.dim))

    def forward(self, composed: Tensor, context: Tensor) -> Tensor:
        """(…, dim) h_i and (…, context_dim) r_i → (…, dim)"""
        injected: Tensor = self.out(F.silu(self.merge(torch.cat((composed, context), dim=-1))))
        return composed + injected if self.residual else injected
