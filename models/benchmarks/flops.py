"""Minimal float operations of encoding one history, for the encoders of `blossom` and `sasrec`.

Only necessary work counts: positions that the output does not depend on and pairs hidden by the causal mask are left
out. Norms, activations and rotations are omitted, as usual.
"""

import torch

from models.encoders.cone import ConeEncoder, compute_short_term_positions
from models.encoders.self_attention import SelfAttentionEncoder
from models.layers.attention import CausalSelfAttention
from models.layers.block import Block
from models.layers.feed_forward import FeedForward, GatedFeedForward
from models.layers.gated_block import GatedBlock
from models.recommender import SequentialRecommender


def count_operations(model: SequentialRecommender, length: int) -> int:
    """Count two operations per multiply-add; ValueError for another encoder."""
    encoder = model.encoder
    all_positions = list(range(1, length + 1))
    if isinstance(encoder, SelfAttentionEncoder):
        visible_rows = [all_positions] * (len(encoder.blocks) - 1) + [[length]]
        input_rows = [length] * len(encoder.blocks)
    elif isinstance(encoder, ConeEncoder):
        indices, is_valid = compute_short_term_positions(torch.tensor([length - 1]), length, encoder.window)
        window = [index + 1 for index in indices[0][is_valid[0, 0]].tolist()]
        visible_rows = [all_positions] * (len(encoder.blocks) - 2) + [window, [len(window)]]
        input_rows = [length] * (len(encoder.blocks) - 1) + [len(window)]
    else:
        raise ValueError(f"cannot count operations of encoder {type(encoder).__name__}")
    return sum(_count_block(*block) for block in zip(encoder.blocks, input_rows, visible_rows, strict=True))


def _count_block(block: object, input_rows: int, visible_rows: list[int]) -> int:
    """Count one block: `visible_rows` has an entry per output row, the number of input rows that it attends to."""
    assert isinstance(block, Block | GatedBlock)
    attention, feed_forward = block.attention, block.feed_forward
    assert isinstance(attention, CausalSelfAttention)
    assert isinstance(feed_forward, FeedForward | GatedFeedForward)
    dim, heads = attention.out.in_features, attention.heads
    output_rows, pairs = len(visible_rows), sum(visible_rows)
    # Values are projected per row, or per attention mixture of each head, whichever is cheaper.
    project_rows = input_rows * dim**2 + pairs * dim + output_rows * dim**2
    project_mixtures = heads * dim * (pairs + output_rows * dim)
    attention_macs = input_rows * dim**2 + output_rows * dim**2 + pairs * dim + min(project_rows, project_mixtures)
    weights = sum(weight.numel() for weight in feed_forward.parameters() if weight.ndim > 1)
    gates = 2 * dim**2 if isinstance(feed_forward, GatedFeedForward) else 0
    return 2 * (attention_macs + output_rows * (weights + gates))
