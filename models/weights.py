"""Loads the weights of an artifact into its model, and refuses weights that a scorer must not see.

Every index in a buffer is compared with the table it points into, because native code does not check it again, and
every number must be finite. Both take one pass over the weights.
"""

from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from models.build import build_uninitialized_model
from models.config import ModelConfig
from models.recommender import SequentialRecommender

MIN_MMAP_BYTES = 1 << 20
"""Tensors of at least this size stay memory-mapped."""
MAX_WEIGHT = 1e12
"""Largest number of a model; products of larger ones overflow float32."""
EXTRA_CELLS, EXTRA_TENSORS = 1 << 26, 1 << 10
"""Numbers and tensors that a model may have in addition to its file, such as tables of angles."""
CELLS_PER_WEIGHT = 4
"""Tensors that are created per weight, with those that only help to compute another."""


def load_model(config: ModelConfig, num_items: int, weights: Path) -> SequentialRecommender:
    """Build the model; large tensors stay memory-mapped and shared by processes, small ones are copied.

    ValueError if names, types, shapes or values are not the model's.
    """
    num_tensors, num_cells = _count_weights(weights)
    model = build_uninitialized_model(
        config,
        num_items,
        max_cells=CELLS_PER_WEIGHT * num_cells + EXTRA_CELLS,
        max_tensors=CELLS_PER_WEIGHT * num_tensors + EXTRA_TENSORS,
    )
    dtypes = {name: value.dtype for name, value in model.state_dict().items()}
    tensors = load_file(weights)
    if wrong := [name for name, value in tensors.items() if dtypes.get(name, value.dtype) != value.dtype]:
        raise ValueError(f"{wrong[0]} has dtype {tensors[wrong[0]].dtype}, the model expects {dtypes[wrong[0]]}")
    model.load_state_dict(
        {name: value if value.nbytes >= MIN_MMAP_BYTES else value.clone() for name, value in tensors.items()},
        assign=True,
    )
    check_weights(model)
    return model


@torch.inference_mode()
def check_weights(model: SequentialRecommender) -> None:
    """ValueError names a tensor with a number that is not finite, or with an index that points outside its table."""
    for name, values in model.state_dict().items():
        if values.is_floating_point() and values.numel() and not _is_usable(values):
            raise ValueError(f"{name} holds a number that is not finite, or above {MAX_WEIGHT:g}")
    for name, module in model.named_modules():
        check_buffers = getattr(module, "check_buffers", None)
        if check_buffers is None:
            continue
        try:
            check_buffers()
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from error


def _is_usable(values: Tensor) -> bool:
    """Check without a copy: the extrema of a tensor with NaN are NaN."""
    return all(abs(float(extremum)) <= MAX_WEIGHT for extremum in values.aminmax())


def _count_weights(weights: Path) -> tuple[int, int]:
    """Count the tensors and the numbers of a file by its header."""
    try:
        with safe_open(weights, framework="pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(f"it is not a safetensors file ({error})") from error
    return len(shapes), sum(map(prod, shapes))
