"""Block embeddings: their size, their rows, and that a single block is a plain embedding."""

import pytest
import torch
from torch import Tensor, nn

from models.batch import SequenceBatch
from models.embeddings.blocks import BlockEmbedding

ITEMS = torch.tensor([[3, 0, 20, 1], [5, 6, 7, 0], [50, 21, 5, 49]])


def embedding(**options: object) -> BlockEmbedding:
    torch.manual_seed(0)
    return BlockEmbedding(50, 16, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [([7000, 15000], 4_849_920), ([2000, 8000], 2_257_920), ([1000, 4000, 10_000], 1_254_016)],
)
def test_20000_items_at_width_512_have_as_many_weights_as_the_arithmetic_says(cuts: list[int], expected: int) -> None:
    with torch.device("meta"):
        made = BlockEmbedding(20_000, 512, cuts=cuts)
    assert sum(parameter.numel() for parameter in made.parameters()) == expected


def test_an_item_is_the_row_of_its_block_times_the_projection_of_its_block() -> None:
    made = embedding(cuts=[5, 20])
    first, second, third = (block.get_parameter("weight") for block in made.vectors)
    into_second, into_third = made.projections
    vectors = made.table(torch.tensor([5, 6, 20, 21, 50, 0]))
    expected = [first[4], second[0] @ into_second, second[14] @ into_second, third[0] @ into_third]
    expected += [third[29] @ into_third, torch.zeros(16)]
    torch.testing.assert_close(vectors, torch.stack(expected))


@pytest.mark.parametrize("options", [{}, {"cuts": [5, 20]}, {"cuts": []}, {"cuts": [1, 2, 3], "factor": 2}])
def test_a_batch_gets_the_rows_of_the_table_and_padding_is_zero(options: dict[str, object]) -> None:
    made = embedding(**options)
    vectors = made(SequenceBatch(ITEMS, torch.tensor([4, 3, 4])))
    torch.testing.assert_close(vectors, made.table()[ITEMS])
    assert not vectors[ITEMS == 0].any()


def test_a_single_block_is_a_plain_embedding() -> None:
    made = embedding(cuts=[])
    assert [tuple(parameter.shape) for parameter in made.parameters()] == [(50, 16)]
    plain = nn.Embedding(51, 16, padding_idx=0)
    with torch.no_grad():
        plain.weight[1:] = made.vectors[0].get_parameter("weight")
    hidden = torch.randn(4, 16)
    assert torch.equal(made(SequenceBatch(ITEMS, torch.tensor([4, 3, 4]))), plain(ITEMS))
    torch.testing.assert_close(made.scores(hidden), hidden @ plain.weight.T)


def test_a_lookup_gives_gradients_to_its_own_rows_and_projections_only() -> None:
    made = embedding(cuts=[5, 20])
    made.table(torch.tensor([2, 7])).sum().backward()
    first, second, third = (block.get_parameter("weight").grad for block in made.vectors)
    assert touched(first) == [1]
    assert touched(second) == [1]
    assert touched(third) == []
    assert [bool(projection.grad.any()) for projection in made.projections] == [True, False]


def touched(gradient: Tensor | None) -> list[int]:
    assert gradient is not None
    return torch.nonzero(gradient.any(dim=-1)).flatten().tolist()


def test_all_blocks_start_equally_loud() -> None:
    torch.manual_seed(0)
    made = BlockEmbedding(3000, 64, cuts=[1000, 2000])
    for block in made.vectors:
        nn.init.normal_(block.get_parameter("weight"), std=0.02)
    rows = made.table()[1:].view(3, 1000, 64)
    torch.testing.assert_close(rows.std(dim=(1, 2)), torch.full((3,), 0.02), rtol=0.2, atol=0)
