"""Reference implementation of BlossomRec's attention as loops over single queries, blocks and keys.

It uses the layer's weights and, of its functions, only the rotation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.block_selectors import BlockSelector, Compressed, StraightThrough
from models.layers.block_summaries import BlockSummaries
from models.layers.blossom_attention import BlossomAttention


@dataclass(frozen=True)
class Sizes:
    dim: int
    heads: int
    key_heads: int
    window: int
    block: int
    selected: int
    short: int


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend with one query (d) to keys (n, d)."""
    logits = [float(key @ query) / math.sqrt(len(query)) for key in keys]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return sum((w * value for w, value in zip(weights, values, strict=True)), torch.zeros_like(query)) / sum(weights)


def compute_summaries(module: BlockSummaries, rows: Tensor, group: int, sizes: Sizes) -> list[Tensor]:
    """Compute one vector per complete block of rows (T, d), from the window that ends with it."""
    summaries = []
    for j in range(len(rows) // sizes.block):
        first = (j + 1) * sizes.block - sizes.window
        window = [rows[p] if p >= 0 else torch.zeros_like(rows[0]) for p in range(first, first + sizes.window)]
        summaries.append(module.network((torch.stack(window) + module.positions[group]).flatten()))
    return summaries


def hash_number(number: int) -> int:
    for factor in (1540483477, 1812433253):
        number = (number + 1) * factor % 2**32
        number ^= number // 2**15
    return number


def compute_importance(
    name: str, group: int, t: int, j: int, queries: Tensor, summaries: list[Tensor], block: int
) -> float:
    """Compute the importance of block j at position t for a group with these queries (heads, d)."""
    if name == "recent":
        return float(j)
    if name == "random":
        return float(hash_number(hash_number(hash_number(group) ^ t // block) ^ j) // 2**8)
    return float(sum(query @ summaries[j] for query in queries))


def compute_key_summaries(name: str, selector: BlockSelector, keys: Tensor, group: int, sizes: Sizes) -> list[Tensor]:
    if name == "mean":
        return [keys[end - sizes.block : end].mean(0) for end in range(sizes.block, len(keys) + 1, sizes.block)]
    if isinstance(selector, Compressed):
        return compute_summaries(selector.keys, keys, group, sizes)
    if isinstance(selector, StraightThrough):
        return compute_summaries(selector.summaries, keys, group, sizes)
    return []


def compute_by_loops(module: BlossomAttention, name: str, x: Tensor, sizes: Sizes) -> Tensor:
    """One sequence (T, dim) → (T, dim), with the selector `name`."""
    length, width, block = len(x), sizes.dim // sizes.heads, sizes.block
    query, key, value = module.qkv(x).split([sizes.dim, *[sizes.key_heads * width] * 2], dim=-1)
    queries = module.rotary(query.view(length, sizes.heads, width).transpose(0, 1))
    keys = module.rotary(key.view(length, sizes.key_heads, width).transpose(0, 1))
    values = value.view(length, sizes.key_heads, width).transpose(0, 1)
    branches = 3 if name == "compressed" else 2
    gates = module.gates(x).sigmoid().view(length, sizes.heads, branches)
    mixed = x.new_zeros(length, sizes.heads, width)
    for group in range(sizes.key_heads):
        members = range(group * sizes.heads // sizes.key_heads, (group + 1) * sizes.heads // sizes.key_heads)
        summaries = compute_key_summaries(name, module.selector, keys[group], group, sizes)
        for t in range(length):
            visible = [j for j in range(length // block) if (j + 1) * block - 1 < t]
            importance = {
                j: compute_importance(name, group, t, j, queries[list(members), t], summaries, block) for j in visible
            }
            best = sorted(visible, key=lambda j: -importance[j])[: sizes.selected]
            own = range(t // block * block, t + 1)
            long_positions = [*own, *(p for j in best for p in range(j * block, (j + 1) * block))]
            short_positions = [
                p for p in range(t + 1) if t - p < sizes.short or p == 0 or math.log2(t - p).is_integer()
            ]
            for head in members:
                for gate, positions in enumerate((long_positions, short_positions)):
                    mixed[t, head] += gates[t, head, gate] * attend(
                        queries[head, t], keys[group, positions], values[group, positions]
                    )
                if isinstance(module.selector, Compressed) and visible:
                    value_summaries = compute_summaries(
                        module.selector.values, values[group, : len(visible) * block], group, sizes
                    )
                    mixed[t, head] += gates[t, head, 2] * attend(
                        queries[head, t], torch.stack(summaries[: len(visible)]), torch.stack(value_summaries)
                    )
    out: Tensor = module.out(mixed.flatten(1))
    return out
