"""A transformer block around any attention: where the norms stand is its whole idea."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from models.layers.gather import gather_positions


class ModuleReference:
    """A module that another one owns: called like it, but not a module, so its weights are registered only once."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)


class Block(nn.Module):
    """Attention and feed-forward, each with a residual.

    Pre-norm (norm on the way into a sublayer) trains without warm-up; post-norm (norm after the sum) is what
    BlossomRec publishes.
    """

    def __init__(
        self,
        dim: int,
        attention: nn.Module | ModuleReference,
        feed_forward: nn.Module | ModuleReference,
        dropout: float,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) for the positions `at` (B, P) alone: the rest is never computed."""
        asked = x if at is None else gather_positions(x, at)
        if self.pre_norm:
            x = asked + self.dropout(self.attention(self.attention_norm(x), at))
            out: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
            return out
        x = self.attention_norm(asked + self.dropout(self.attention(x, at)))
        normed: Tensor = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return normed


def build_shared_blocks(
    weight_sets: Sequence[int],
    sublayers: Callable[[], tuple[nn.Module, nn.Module]],
    dim: int,
    dropout: float,
    pre_norm: bool,
) -> nn.ModuleList:
    """One block per entry of `weight_sets`: equal entries share attention and feed-forward, every block has own norms.

    `sublayers` makes the attention and the feed-forward of a set; the first block of the set registers them.
    """
    owned: dict[int, tuple[nn.Module, nn.Module]] = {}
    blocks = []
    for number in weight_sets:
        if number in owned:
            attention, feed_forward = owned[number]
            blocks.append(Block(dim, ModuleReference(attention), ModuleReference(feed_forward), dropout, pre_norm))
        else:
            attention, feed_forward = owned[number] = sublayers()
            blocks.append(Block(dim, attention, feed_forward, dropout, pre_norm))
    return nn.ModuleList(blocks)


def init_weights(module: nn.Module) -> None:
    """N(0, 0.02) for matrices, zero for biases and padding: apply to a whole model, then set what deviates."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
