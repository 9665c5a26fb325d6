"""Which layers of a stack use the same weights: the rules alone, for layers of any kind.

CpRec (arXiv 2004.13139), section on layer-wise parameter sharing. In the paper a layer is one dilated convolution and a
block is one residual block of two layers. With transformers a layer is one transformer block, and two of them in a row
count as a block. Norms are never shared, in any scheme.
"""

from collections.abc import Callable, Mapping

LAYERS_PER_BLOCK = 2

SCHEMES: Mapping[str, Callable[[int, int], int]] = {
    # (block, place of the layer in the block) → weight set
    "original": lambda block, place: block * LAYERS_PER_BLOCK + place,
    "cross_layer": lambda block, place: 0,  # noqa: ARG005  (all layers are one)
    "cross_block": lambda block, place: place,  # noqa: ARG005
    "adjacent_layer": lambda block, place: block,  # noqa: ARG005
    "adjacent_block": lambda block, place: block // 2 * LAYERS_PER_BLOCK + place,
}
"""original: nothing is shared. cross_layer: all layers have one set. cross_block: all blocks have the same pair of
sets. adjacent_layer: the two layers of a block share. adjacent_block: blocks (0, 1), (2, 3), … share layer by layer."""


def assign_weight_sets(scheme: str, layers: int) -> tuple[int, ...]:
    """The number of the weight set that each of `layers` uses; sets are numbered from 0 in order of first use."""
    if scheme not in SCHEMES:
        raise ValueError(f"no sharing scheme is called {scheme!r}; there are {', '.join(SCHEMES)}")
    return tuple(SCHEMES[scheme](*divmod(layer, LAYERS_PER_BLOCK)) for layer in range(layers))
