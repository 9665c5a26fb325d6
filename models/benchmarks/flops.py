"""How many float operations the answer after a history needs, for the encoders of `blossom` and `sasrec`.

What nobody needs is not counted: positions that the answer does not see, and pairs that a causal mask hides. Norms,
activations and rotations are left out, as is usual.
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
    """Two for a multiplication with its addition. ValueError for another encoder."""
    encoder = model.encoder
    everywhere = list(range(1, length + 1))
    if isinstance(encoder, SelfAttentionEncoder):
        seen = [everywhere] * (len(encoder.blocks) - 1) + [[length]]
        rows = [length] * len(encoder.blocks)
    elif isinstance(encoder, ConeEncoder):
        places, is_place = compute_short_term_positions(torch.tensor([length - 1]), length, encoder.window)
        few = [place + 1 for place in places[0][is_place[0, 0]].tolist()]
        seen = [everywhere] * (len(encoder.blocks) - 2) + [few, [len(few)]]
        rows = [length] * (len(encoder.blocks) - 1) + [len(few)]
    else:
        raise ValueError(f"operations of the encoder {type(encoder).__name__} are not counted")
    return sum(_of_block(*block) for block in zip(encoder.blocks, rows, seen, strict=True))


def _of_block(block: object, rows: int, seen: list[int]) -> int:
    """`rows` are given, one is asked for each entry of `seen`: how many rows it sees."""
    assert isinstance(block, Block | GatedBlock)
    attention, feed_forward = block.attention, block.feed_forward
    assert isinstance(attention, CausalSelfAttention)
    assert isinstance(feed_forward, FeedForward | GatedFeedForward)
    asked, pairs, dim, heads = len(seen), sum(seen), attention.out.in_features, attention.heads
    project_rows = rows * dim**2 + pairs * dim + asked * dim**2
    project_mixtures = heads * dim * (pairs + asked * dim)
    attended = rows * dim**2 + asked * dim**2 + pairs * dim + min(project_rows, project_mixtures)
    weights = sum(weight.numel() for weight in feed_forward.parameters() if weight.ndim > 1)
    gates = 2 * dim**2 if isinstance(feed_forward, GatedFeedForward) else 0
    return 2 * (attended + asked * (weights + gates))
