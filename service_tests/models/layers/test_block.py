"""The five weight sharing schemes, and transformers that use them."""

import pytest
import torch

from models.batch import SequenceBatch
from models.build import build_model
from models.config import ModelConfig, Part
from models.layers.block import assign_weight_sets

LAYERS = 4


@pytest.mark.parametrize(
    ("scheme", "sets"),
    [
        ("original", (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
        ("cross_layer", (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
        ("cross_block", (0, 1, 0, 1, 0, 1, 0, 1, 0, 1)),
        ("adjacent_layer", (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)),
        ("adjacent_block", (0, 1, 0, 1, 2, 3, 2, 3, 4, 5)),
    ],
)
def test_scheme_assigns_the_expected_weight_sets(scheme: str, sets: tuple[int, ...]) -> None:
    """Five blocks of two layers: the fifth block has no partner in `adjacent_block`."""
    assert assign_weight_sets(scheme, 10) == sets


def test_error_for_unknown_scheme_lists_the_schemes() -> None:
    schemes = "original, cross_layer, cross_block, adjacent_layer, adjacent_block"
    with pytest.raises(ValueError, match=f"unknown sharing scheme 'adjacent'; choose from {schemes}"):
        assign_weight_sets("adjacent", 4)


def get_weight_sizes(encoder: str, sharing: str) -> dict[str, int]:
    options = {"layers": LAYERS, "sharing": sharing}
    config = ModelConfig(Part("full"), Part(encoder, options), Part("tied"), dim=16, max_len=20, dropout=0.0)
    model = build_model(config, 30)
    return {name: tensor.numel() for name, tensor in model.encoder.state_dict().items()}


@pytest.mark.parametrize("encoder", ["self_attention", "blossom"])
@pytest.mark.parametrize("scheme", ["original", "cross_layer", "cross_block", "adjacent_layer", "adjacent_block"])
def test_shared_transformer_blocks_have_own_norms_only(encoder: str, scheme: str) -> None:
    original, shared = get_weight_sizes(encoder, "original"), get_weight_sizes(encoder, scheme)
    norms = {name for name in original if "norm" in name}
    assert {name for name in shared if "norm" in name} == norms
    per_set = sum(size for name, size in original.items() if name not in norms) // LAYERS
    distinct = len(set(assign_weight_sets(scheme, LAYERS)))
    assert sum(shared.values()) == sum(original[name] for name in norms) + distinct * per_set


def test_shared_transformer_equals_copies_with_equal_weights() -> None:
    sizes = {"dim": 16, "max_len": 20, "dropout": 0.0}
    options = {"layers": LAYERS}
    shared, copies = (
        build_model(ModelConfig(Part("full"), Part("self_attention", options | extra), Part("tied"), **sizes), 30)  # type: ignore[arg-type]
        for extra in ({"sharing": "adjacent_layer"}, {})
    )
    weights = shared.state_dict()
    for name in copies.state_dict():
        number = name.split(".")[2] if "blocks." in name else "0"
        if name not in weights:  # the second of two blocks uses the weights of the first
            weights[name] = weights[name.replace(f"blocks.{number}.", f"blocks.{int(number) - 1}.")]
    copies.load_state_dict(weights)
    batch = SequenceBatch(torch.arange(1, 21)[None], torch.tensor([20]))
    assert torch.equal(shared.eval().encode(batch), copies.eval().encode(batch))
