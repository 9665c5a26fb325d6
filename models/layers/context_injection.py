"""Network that merges a vector with its context, initialized to return almost the vector itself."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContextInjection(nn.Module):
    """h̃_i = MLP([h_i ; r_i]), LSAN (CIKM 2021), section 3.1; here 2D → D → D with a SiLU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.merge = nn.Linear(2 * dim, dim)
        self.out = nn.Linear(dim, dim)

    def reset_special(self) -> None:
        """Initialize to pass h_i through: if candidates are scored by h_i too, both then start in one space.

        A randomly initialized network would rotate h_i away from the candidates, and training would first have to undo
        that. Near zero SiLU(x) is x / 2, so the identity and twice the identity cancel it; r_i stays small and random.
        """
        with torch.no_grad():
            self.merge.weight[:, : self.dim] = torch.eye(self.dim)
            self.out.weight.copy_(2.0 * torch.eye(self.dim))

    def forward(self, composed: Tensor, context: Tensor) -> Tensor:
        """(…, dim) h_i and (…, dim) r_i → (…, dim)"""
        injected: Tensor = self.out(F.silu(self.merge(torch.cat((composed, context), dim=-1))))
        return injected
