"""Switch the layers of a model to forms that are faster in training on a CPU, with other rounding and random draws."""

from torch import nn

from models.layers.dropout import Dropout
from models.layers.positional import RotaryPositions


def use_fast_forms(model: nn.Module) -> None:
    """Set `is_fast` of all layers that have it."""
    for module in model.modules():
        if isinstance(module, Dropout | RotaryPositions):
            module.is_fast = True
