"""BlossomRec's attention against its rules written as loops over single queries and keys."""

import math

import pytest
import torch
from torch import Tensor

from models.layers.blossom_attention import BlossomAttention
from models.layers.positional import RotaryPositions
from models.layers.sparse_attention import chosen_blocks, short_term_mask, visible_blocks

DIM, HEADS, KEY_HEADS, WINDOW, BLOCK, CHOSEN, SHORT = 16, 4, 2, 8, 4, 2, 3


def attention(seed: int = 0) -> BlossomAttention:
    torch.manual_seed(seed)
    made = BlossomAttention(
        DIM,
        RotaryPositions(DIM // HEADS, 64),
        heads=HEADS,
        key_heads=KEY_HEADS,
        compress_window=WINDOW,
        block=BLOCK,
        blocks_chosen=CHOSEN,
        short_window=SHORT,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def softmax_of(query: Tensor, keys: Tensor, values: Tensor, places: list[int]) -> Tensor:
    weights = (keys[places] @ query / math.sqrt(len(query))).softmax(0)
    return weights @ values[places]


def by_loops(module: BlossomAttention, x: Tensor) -> Tensor:
    """One sequence (T, DIM), one query at a time."""
    length, width = len(x), DIM // HEADS
    query, key, value = module.qkv(x).split([DIM, KEY_HEADS * width, KEY_HEADS * width], dim=-1)
    queries = module.rotary(query.view(length, HEADS, width).transpose(0, 1))
    keys = module.rotary(key.view(length, KEY_HEADS, width).transpose(0, 1))
    values = value.view(length, KEY_HEADS, width).transpose(0, 1)
    gates = module.gates(x).sigmoid().view(length, HEADS, 2)
    mixed = torch.zeros(length, HEADS, width)
    for t in range(length):
        for group in range(KEY_HEADS):
            importance = {}
            members = range(group * HEADS // KEY_HEADS, (group + 1) * HEADS // KEY_HEADS)
            for j in range(length // BLOCK):
                if (j + 1) * BLOCK - 1 >= t:
                    continue
                first = (j + 1) * BLOCK - WINDOW
                window = [keys[group, p] if p >= 0 else torch.zeros(width) for p in range(first, first + WINDOW)]
                summary = module.summaries.network((torch.stack(window) + module.summaries.positions[group]).flatten())
                importance[j] = float(sum(queries[head, t] @ summary for head in members))
            best = sorted(importance, key=lambda j: -importance[j])[:CHOSEN]
            own = range(t // BLOCK * BLOCK, t + 1)
            long_places = sorted({*own, *(p for j in best for p in range(j * BLOCK, (j + 1) * BLOCK))})
            short_places = [p for p in range(t + 1) if t - p < SHORT or p == 0 or math.log2(t - p).is_integer()]
            for head in members:
                long_term = softmax_of(queries[head, t], keys[group], values[group], long_places)
                short_term = softmax_of(queries[head, t], keys[group], values[group], short_places)
                mixed[t, head] = gates[t, head, 0] * long_term + gates[t, head, 1] * short_term
    out: Tensor = module.out(mixed.flatten(1))
    return out


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 13, 24, 31])
def test_it_equals_the_rules_written_as_loops(length: int) -> None:
    module = attention(length)
    x = torch.randn(2, length, DIM, generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        found = module(x)
        expected = torch.stack([by_loops(module, row) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_short_term_mask_is_window_powers_of_two_and_the_first_key() -> None:
    mask = short_term_mask(torch.arange(40), 40, 3)
    assert [key for key in range(40) if mask[39, key]] == [0, 39 - 32, 39 - 16, 39 - 8, 39 - 4, 37, 38, 39]
    assert not mask.triu(1).any()


def test_a_query_never_chooses_its_own_block_or_one_that_has_not_ended() -> None:
    visible = visible_blocks(torch.arange(12), 3, 4)
    assert visible[:, 0].tolist() == [t > 3 for t in range(12)]
    assert visible[:, 2].tolist() == [False] * 12


def test_no_block_is_chosen_where_none_is_visible() -> None:
    importance = torch.tensor([[[[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [0.2, 0.5, 0.3]]]])
    chosen = chosen_blocks(importance, 2)
    assert chosen[0, 0].tolist() == [[False] * 3, [True, False, False], [False, True, True]]


def test_the_selector_learns() -> None:
    """As published, choosing blocks passes no gradient and the summaries stay as they were drawn."""
    module = attention()
    module(torch.randn(1, 24, DIM, generator=torch.Generator().manual_seed(5))).square().sum().backward()
    for name, parameter in module.summaries.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_straight_through_bias_changes_no_value() -> None:
    module = attention()
    x = torch.randn(1, 24, DIM, generator=torch.Generator().manual_seed(6))
    with_gradient = module(x)
    with torch.no_grad():
        without = module(x)
    torch.testing.assert_close(with_gradient, without, rtol=0, atol=1e-6)


def test_gates_start_with_the_short_term_in_front() -> None:
    module = attention()
    module.reset_gates()
    assert module.gates.bias.view(HEADS, 2).tolist() == [[-2.0, 2.0]] * HEADS
