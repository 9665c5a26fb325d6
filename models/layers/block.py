"""Transformer blocks: the block itself, weight sharing between the layers of a stack, and weight initialization."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from models.layers.dropout import Dropout

LAYERS_PER_BLOCK = 2

SCHEMES: Mapping[str, Callable[[int, int], int]] = {
    # (block, position of the layer in the block) → weight set
    "original": lambda block, position: block * LAYERS_PER_BLOCK + position,
    "cross_layer": lambda block, position: 0,  # noqa: ARG005
    "cross_block": lambda block, position: position,  # noqa: ARG005
    "adjacent_layer": lambda block, position: block,  # noqa: ARG005
    "adjacent_block": lambda block, position: block // 2 * LAYERS_PER_BLOCK + position,
}
"""Sharing schemes of CpRec (arXiv 2004.13139), section on layer-wise parameter sharing.

original: no sharing. cross_layer: one set for all layers. cross_block: the same pair of sets for all blocks.
adjacent_layer: the two layers of a block share. adjacent_block: blocks (0, 1), (2, 3), … share layer by layer.

In the paper a layer is one dilated convolution, and a block is one residual block of two layers. With transformers a
layer is one transformer block, and two consecutive ones count as a block. Norms are never shared.
"""


class ModuleReference:
    """Calls a module that another module owns; not an nn.Module, so that the weights are registered only once."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)


class Block(nn.Module):
    """Attention and feed-forward, each with a residual connection.

    Pre-norm (norm on the input of a sublayer) trains without warm-up; BlossomRec uses post-norm (norm after the sum).
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
        self.dropout = Dropout(dropout)
        self.pre_norm = pre_norm

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, T, dim) → (B, T, dim), or (B, P, dim) if only the positions `at` (B, P) are computed."""
        residual = x if at is None else gather_positions(x, at)
        if self.pre_norm:
            x = residual + self.dropout(self.attention(self.attention_norm(x), at))
            out: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
            return out
        x = self.attention_norm(residual + self.dropout(self.attention(x, at)))
        normed: Tensor = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return normed


def gather_positions(x: Tensor, at: Tensor) -> Tensor:
    """(B, T, dim) → (B, P, dim): the rows of each sequence at its positions `at` (B, P)."""
    return x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))


def assign_weight_sets(scheme: str, layers: int) -> tuple[int, ...]:
    """Assign a weight set to each of `layers`; sets are numbered from 0 in order of first use."""
    if scheme not in SCHEMES:
        raise ValueError(f"unknown sharing scheme {scheme!r}; choose from {', '.join(SCHEMES)}")
    return tuple(SCHEMES[scheme](*divmod(layer, LAYERS_PER_BLOCK)) for layer in range(layers))


def build_shared_blocks(
    weight_sets: Sequence[int],
    sublayers: Callable[[], tuple[nn.Module, nn.Module]],
    dim: int,
    dropout: float,
    pre_norm: bool,
) -> nn.ModuleList:
    """Build one block per entry of `weight_sets`; equal entries share attention and feed-forward, but not norms.

    `sublayers` creates the attention and the feed-forward of a set; the first block of the set registers them.
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


def initialize_weights(module: nn.Module) -> None:
    """Initialize matrices with N(0, 0.02), biases and padding with zero; apply to a model before other resets."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def initialize_without_norms(module: nn.Module) -> None:
    """Initialize all linear layers with N(0, 1 / inputs), which keeps the scale of a vector without norms.

    The usual standard deviation of 0.02 relies on norms; without them the output of a few layers is almost zero.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
