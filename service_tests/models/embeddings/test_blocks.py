"""Block embeddings: sizes, rows, gradients, and the equality of a single block and a plain embedding."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.batch import SequenceBatch
from models.catalogue.catalogue import Catalogue
from models.embeddings.blocks import BlockEmbedding

ITEMS = torch.tensor([[3, 0, 20, 1], [5, 6, 7, 0], [50, 21, 5, 49]])


def build_embedding(**options: object) -> BlockEmbedding:
    torch.manual_seed(0)
    return BlockEmbedding(50, 16, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [([7000, 15000], 4_849_920), ([2000, 8000], 2_257_920), ([1000, 4000, 10_000], 1_254_016)],
)
def test_parameter_count_of_20000_items_at_width_512(cuts: list[int], expected: int) -> None:
    with torch.device("meta"):
        embedding = BlockEmbedding(20_000, 512, cuts=cuts)
    assert sum(parameter.numel() for parameter in embedding.parameters()) == expected


def test_vector_is_the_row_times_the_projection_of_its_block() -> None:
    embedding = build_embedding(cuts=[5, 20])
    first, second, third = (block.get_parameter("weight") for block in embedding.vectors)
    into_second, into_third = embedding.projections
    vectors = embedding.table(torch.tensor([5, 6, 20, 21, 50, 0]))
    expected = [first[4], second[0] @ into_second, second[14] @ into_second, third[0] @ into_third]
    expected += [third[29] @ into_third, torch.zeros(16)]
    torch.testing.assert_close(vectors, torch.stack(expected))


@pytest.mark.parametrize("options", [{}, {"cuts": [5, 20]}, {"cuts": []}, {"cuts": [1, 2, 3], "factor": 2}])
def test_forward_equals_the_table_and_padding_is_zero(options: dict[str, object]) -> None:
    embedding = build_embedding(**options)
    vectors = embedding(SequenceBatch(ITEMS, torch.tensor([4, 3, 4])))
    torch.testing.assert_close(vectors, embedding.table()[ITEMS])
    assert not vectors[ITEMS == 0].any()


def test_single_block_equals_a_plain_embedding() -> None:
    embedding = build_embedding(cuts=[])
    assert [tuple(parameter.shape) for parameter in embedding.parameters()] == [(50, 16)]
    plain = nn.Embedding(51, 16, padding_idx=0)
    with torch.no_grad():
        plain.weight[1:] = embedding.vectors[0].get_parameter("weight")
    hidden = torch.randn(4, 16)
    assert torch.equal(embedding(SequenceBatch(ITEMS, torch.tensor([4, 3, 4]))), plain(ITEMS))
    torch.testing.assert_close(embedding.scores(hidden), hidden @ plain.weight.T)


def test_lookup_gives_gradients_only_to_its_rows_and_projections() -> None:
    embedding = build_embedding(cuts=[5, 20])
    embedding.table(torch.tensor([2, 7])).sum().backward()
    first, second, third = (block.get_parameter("weight").grad for block in embedding.vectors)
    assert find_rows_with_gradient(first) == [1]
    assert find_rows_with_gradient(second) == [1]
    assert find_rows_with_gradient(third) == []
    assert [bool(projection.grad.any()) for projection in embedding.projections] == [True, False]


def find_rows_with_gradient(gradient: Tensor | None) -> list[int]:
    assert gradient is not None
    return torch.nonzero(gradient.any(dim=-1)).flatten().tolist()


def test_all_blocks_start_at_the_same_scale() -> None:
    torch.manual_seed(0)
    embedding = BlockEmbedding(3000, 64, cuts=[1000, 2000])
    for block in embedding.vectors:
        nn.init.normal_(block.get_parameter("weight"), std=0.02)
    rows = embedding.table()[1:].view(3, 1000, 64)
    torch.testing.assert_close(rows.std(dim=(1, 2)), torch.full((3,), 0.02), rtol=0.2, atol=0)


def make_catalogue() -> Catalogue:
    return Catalogue([f"i{n}" for n in range(50)], np.arange(50, 0, -1), [None] * 50, [[]] * 50)


def make_table(rank: int) -> Tensor:
    """Random vectors in a subspace of `rank` dimensions; padding is zero."""
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(51, rank, generator=generator) @ torch.randn(rank, 16, generator=generator)
    return table.index_fill(0, torch.tensor([0]), 0.0)


def test_trained_factors_restore_a_table_of_their_rank_up_to_rounding() -> None:
    embedding = build_embedding(factors="trained", cuts=[5, 20], ranks=[8, 4])
    table = make_table(rank=4)
    embedding.approximate(table, make_catalogue())
    largest = table.abs().max().item()
    torch.testing.assert_close(embedding.table(), table, rtol=0, atol=largest / 50)
    assert embedding.starts_from_full_table
    assert (
        sum(buffer.numel() for buffer in embedding.buffers() if buffer.dtype == torch.int8) == 5 * 16 + 15 * 8 + 30 * 4
    )


def test_trained_factors_have_smaller_errors_for_popular_items() -> None:
    embedding = build_embedding(factors="trained", cuts=[1], ranks=[4])
    table = make_table(rank=16)
    embedding.approximate(table, make_catalogue())
    errors = (embedding.table() - table).square().sum(1)
    assert errors[2:18].mean() < errors[35:].mean()
    assert errors[1] < 0.05, "the first block has the full width"


def test_unknown_factors_raise() -> None:
    with pytest.raises(ValueError, match="factors must be 'random' or 'trained'"):
        build_embedding(factors="learned")
