"""The five sharing schemes as a table, and what they do to a transformer."""

import pytest
import torch

from models.batch import SequenceBatch
from models.build import build_model
from models.config import ModelConfig, Part
from models.layers.sharing import assign_weight_sets

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
def test_every_layer_uses_the_set_of_the_table(scheme: str, sets: tuple[int, ...]) -> None:
    """Five blocks of two layers: the fifth has no neighbour to share with."""
    assert assign_weight_sets(scheme, 10) == sets


def test_an_unknown_scheme_is_told_with_those_there_are() -> None:
    known = "original, cross_layer, cross_block, adjacent_layer, adjacent_block"
    with pytest.raises(ValueError, match=f"no sharing scheme is called 'adjacent'; there are {known}"):
        assign_weight_sets("adjacent", 4)


def weights_of(encoder: str, sharing: str) -> dict[str, int]:
    options = {"layers": LAYERS, "sharing": sharing}
    config = ModelConfig(Part("full"), Part(encoder, options), Part("tied"), dim=16, max_len=20, dropout=0.0)
    model = build_model(config, 30)
    return {name: tensor.numel() for name, tensor in model.encoder.state_dict().items()}


@pytest.mark.parametrize("encoder", ["self_attention", "blossom"])
@pytest.mark.parametrize("scheme", ["original", "cross_layer", "cross_block", "adjacent_layer", "adjacent_block"])
def test_shared_transformer_blocks_keep_their_norms_and_drop_the_rest(encoder: str, scheme: str) -> None:
    every, some = weights_of(encoder, "original"), weights_of(encoder, scheme)
    norms = {name for name in every if "norm" in name}
    assert {name for name in some if "norm" in name} == norms
    per_set = sum(size for name, size in every.items() if name not in norms) // LAYERS
    distinct = len(set(assign_weight_sets(scheme, LAYERS)))
    assert sum(some.values()) == sum(every[name] for name in norms) + distinct * per_set


def test_a_transformer_that_shares_computes_what_equal_copies_compute() -> None:
    sizes = {"dim": 16, "max_len": 20, "dropout": 0.0}
    options = {"layers": LAYERS}
    shared, copies = (
        build_model(ModelConfig(Part("full"), Part("self_attention", options | extra), Part("tied"), **sizes), 30)  # type: ignore[arg-type]
        for extra in ({"sharing": "adjacent_layer"}, {})
    )
    weights = shared.state_dict()
    for name in copies.state_dict():
        number = name.split(".")[2] if "blocks." in name else "0"
        if name not in weights:  # the second of two blocks borrowed it from the first
            weights[name] = weights[name.replace(f"blocks.{number}.", f"blocks.{int(number) - 1}.")]
    copies.load_state_dict(weights)
    batch = SequenceBatch(torch.arange(1, 21)[None], torch.tensor([20]))
    assert torch.equal(shared.eval().encode(batch), copies.eval().encode(batch))
