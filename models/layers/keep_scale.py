"""A start for layers with no norm around them."""

from torch import nn


def keep_scale(module: nn.Module) -> None:
    """Every linear layer in it starts with N(0, 1 / inputs): what comes out is about as large as what went in.

    The common start, a deviation of 0.02, relies on norms; a chain of such layers without them leaves almost nothing.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
