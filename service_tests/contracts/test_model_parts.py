"""Properties of every embedding × encoder × head; a new part is covered as soon as it is registered."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.batch import SequenceBatch
from models.build import EMBEDDINGS, ENCODERS, HEADS, build_model
from models.config import ModelConfig, Part
from models.recommender import SequentialRecommender

NUM_ITEMS, DIM, MAX_LEN = 50, 16, 40
EMBEDDING_FORMS = {
    "trained_blocks": Part("blocks", {"factors": "trained", "ranks": [0.75, 0.5]}),
    "trained_rows": Part("compositional", {"assignment": "trained", "context_dim": 8}),
}
ENCODER_FORMS = {
    "shared_attention": Part("self_attention", {"sharing": "adjacent_layer"}),
    "rotary_twins": Part("twin_attention", {"layers": 2, "hidden": 32, "positions": "rotary"}),
}
"""Forms of parts that options select, under names for the tests."""
PARTS = {name: Part(name) for name in (*EMBEDDINGS, *ENCODERS, *HEADS)} | EMBEDDING_FORMS | ENCODER_FORMS
ALL_EMBEDDINGS, ALL_ENCODERS = (*EMBEDDINGS, *EMBEDDING_FORMS), (*ENCODERS, *ENCODER_FORMS)
COMBINATIONS = [
    *itertools.product(EMBEDDINGS, ENCODERS, HEADS),
    *itertools.product(EMBEDDING_FORMS, ALL_ENCODERS, ("tied", "dense")),
    *itertools.product(EMBEDDINGS, ENCODER_FORMS, ("tied",)),
]
TRAINABLE = [names for names in COMBINATIONS if HEADS[names[2]].trainable]
FIXED = ("trained_blocks", "none", "tied")
"""All but the projections of two blocks is fixed here."""


def make_config(names: tuple[str, str, str], dropout: float = 0.0) -> ModelConfig:
    embedding, encoder, head = (PARTS[name] for name in names)
    return ModelConfig(embedding, encoder, head, dim=DIM, max_len=MAX_LEN, dropout=dropout)


def make_model(names: tuple[str, str, str]) -> SequentialRecommender:
    torch.manual_seed(0)
    return build_model(make_config(names), NUM_ITEMS).eval()


def randomize(model: SequentialRecommender) -> SequentialRecommender:
    """Set weights far from their initial values, so that every part visibly affects the output."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4, generator=generator)
    return model


def make_batch(lengths: list[int], seed: int = 0) -> SequenceBatch:
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, NUM_ITEMS + 1, (len(lengths), max(lengths)), generator=generator)
    sizes = torch.tensor(lengths)
    items[torch.arange(max(lengths)) >= sizes[:, None]] = 0
    return SequenceBatch(items, sizes)


def make_targets(batch: SequenceBatch) -> Tensor:
    """The item after each position."""
    return torch.nn.functional.pad(batch.items[:, 1:], (0, 1))


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_hidden_and_scores_have_the_documented_shapes(names: tuple[str, str, str]) -> None:
    model, batch = make_model(names), make_batch([1, 17, 40])
    hidden = model.encode(batch)
    assert hidden.shape == (3, 40, DIM)
    assert model.scores(model.encode_last(batch)).shape == (3, NUM_ITEMS + 1)
    assert model.scores(hidden).shape == (3, 40, NUM_ITEMS + 1)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_scores_of_single_items_are_those_of_the_catalogue(names: tuple[str, str, str]) -> None:
    model = randomize(make_model(names))
    hidden = torch.randn(3, DIM, generator=torch.Generator().manual_seed(2))
    items = torch.tensor([[1, 7, 7, 50], [0, 3, 2, 1], [49, 50, 1, 0]])
    expected = model.scores(hidden).gather(-1, items)
    is_item = items > 0
    torch.testing.assert_close(model.score_items(hidden, items)[is_item], expected[is_item], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_causal_encoder_does_not_see_the_future(names: tuple[str, str, str]) -> None:
    model, batch = randomize(make_model(names)), make_batch([40, 40])
    if not model.encoder.causal:
        pytest.skip("not causal")
    before = model.encode(batch)
    for position in (1, 15, 16, 17, 33, 39):
        items = batch.items.clone()
        items[:, position:] = 1 + (items[:, position:] + 6) % NUM_ITEMS
        after = model.encode(SequenceBatch(items, batch.lengths))
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ALL_ENCODERS)
def test_encoding_the_last_position_equals_the_last_of_all_positions(name: str) -> None:
    model, batch = randomize(make_model(("full", name, "tied"))), make_batch([1, 2, 15, 16, 17, 33, 40])
    all_positions = model.encode(batch)
    expected = all_positions[torch.arange(7), batch.lengths - 1]
    torch.testing.assert_close(model.encode_last(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_scores_do_not_depend_on_the_rest_of_the_batch(names: tuple[str, str, str]) -> None:
    model, batch = randomize(make_model(names)), make_batch([1, 5, 16, 17, 33, 40])
    batch_scores = model.scores(model.encode_last(batch))
    for row, length in enumerate(batch.lengths.tolist()):
        single = SequenceBatch(batch.items[row : row + 1, :length], batch.lengths[row : row + 1])
        torch.testing.assert_close(model.scores(model.encode_last(single))[0], batch_scores[row], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALL_EMBEDDINGS)
def test_embedding_reads_times_exactly_if_it_declares_so(name: str) -> None:
    model, batch = randomize(make_model((name, "self_attention", "tied"))), make_batch([40, 40])
    timed = dataclasses.replace(batch, times=10**9 + 3600 * batch.items)
    assert torch.equal(model.encode(timed), model.encode(batch)) != model.reads_times


@pytest.mark.parametrize("names", TRAINABLE, ids="-".join)
def test_every_weight_receives_a_gradient(names: tuple[str, str, str]) -> None:
    model, batch = randomize(make_model(names)), make_batch([40, 40, 37])
    model.loss(batch, make_targets(batch), None).backward()
    without_gradient = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without_gradient == []


@pytest.mark.parametrize("names", TRAINABLE, ids="-".join)
def test_loss_is_the_cross_entropy_of_the_scores(names: tuple[str, str, str]) -> None:
    model, batch = randomize(make_model(names)), make_batch([12, 40])
    targets = make_targets(batch)
    has_target = targets > 0
    scores = model.scores(model.encode(batch))[has_target]
    expected = torch.nn.functional.cross_entropy(scores[:, 1:], targets[has_target] - 1)
    torch.testing.assert_close(model.loss(batch, targets, None), expected)


@pytest.mark.parametrize("names", TRAINABLE, ids="-".join)
def test_weighted_loss_is_the_weighted_mean_of_the_cross_entropies(names: tuple[str, str, str]) -> None:
    model, batch = randomize(make_model(names)), make_batch([12, 40])
    targets = make_targets(batch)
    weights = torch.rand(targets.shape, generator=torch.Generator().manual_seed(1)) + 0.1
    has_target = targets > 0
    scores = model.scores(model.encode(batch))[has_target]
    losses = torch.nn.functional.cross_entropy(scores[:, 1:], targets[has_target] - 1, reduction="none")
    expected = (losses * weights[has_target]).sum() / weights[has_target].sum()
    torch.testing.assert_close(model.loss(batch, targets, None, weights), expected)


@pytest.mark.slow
@pytest.mark.parametrize("names", [names for names in TRAINABLE if names != FIXED], ids="-".join)
def test_training_lowers_the_loss(names: tuple[str, str, str]) -> None:
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(make_config(names), dropout=0.1), NUM_ITEMS).train()
    items = (torch.arange(40)[None] + torch.arange(8)[:, None] * 5) % NUM_ITEMS + 1  # each item has one successor
    batch = SequenceBatch(items, torch.full((8,), 40))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(45):
        loss = model.loss(batch, make_targets(batch), None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_weights_round_trip_through_a_file_without_shared_tensors(names: tuple[str, str, str], tmp_path: Path) -> None:
    model = randomize(make_model(names))
    save_file(model.state_dict(), tmp_path / "weights")  # raises for tensors that share memory
    loaded = build_model(model.config, NUM_ITEMS).eval()
    loaded.load_state_dict(load_file(tmp_path / "weights"))
    batch = make_batch([3, 40])
    assert torch.equal(loaded.scores(loaded.encode_last(batch)), model.scores(model.encode_last(batch)))


@pytest.mark.parametrize("name", ALL_EMBEDDINGS)
def test_embedding_scores_with_its_table_and_pads_with_zero(name: str) -> None:
    embedding = make_model((name, "none", "tied")).embedding
    hidden = torch.randn(7, DIM, generator=torch.Generator().manual_seed(2))
    table = embedding.table()
    assert table.shape == (NUM_ITEMS + 1, DIM)
    assert not table[0].any()
    torch.testing.assert_close(embedding.scores(hidden), hidden @ table.T)
    rows = torch.tensor([5, 1, 50, 5])
    torch.testing.assert_close(embedding.table(rows), table[rows])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ("blocks", "none", "tied"),
            {"vectors.0.weight": (5, 16), "vectors.1.weight": (20, 4), "vectors.2.weight": (25, 1)}
            | {"projections.0": (4, 16), "projections.1": (1, 16)},
        ),
        (
            ("compositional", "none", "tied"),
            {"rows.weight": (51, 16), "categories.lists": (51, 1), "key.weight": (16, 16)}
            | {"previous.weight": (3, 16), "current.weight": (3, 16), "hours.weight": (25, 16)}
            | {"injection.merge.weight": (16, 32), "injection.merge.bias": (16,)}
            | {"injection.out.weight": (16, 16), "injection.out.bias": (16,)},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_default_options_have_the_weights_of_earlier_artifacts(
    names: tuple[str, str, str], expected: dict[str, tuple[int, ...]]
) -> None:
    state = make_model(names).embedding.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


def test_unknown_part_or_option_error_names_it() -> None:
    config = make_config(("full", "self_attention", "tied"))
    with pytest.raises(ValueError, match=r"(?s)(?=.*encoder)(?=.*'magic')") as error:
        build_model(dataclasses.replace(config, encoder=Part("magic")), NUM_ITEMS)
    assert ", ".join(sorted(ENCODERS)) in str(error.value)
    with pytest.raises(ValueError, match=r"encoder.*'self_attention'.*'wings'"):
        build_model(dataclasses.replace(config, encoder=Part("self_attention", {"wings": 2})), NUM_ITEMS)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_config_round_trips_through_json(names: tuple[str, str, str]) -> None:
    config = make_config(names)
    assert ModelConfig.from_json(config.to_json()) == config
