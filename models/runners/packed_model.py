"""A model as the native library reads it: weights folded and packed once, tables of items where they lie.

It says which models the library knows: `cone`, and `self_attention` with rotary positions and no shared layers, over
`full` or `codes`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.embeddings.codes import CodesEmbedding
from models.embeddings.full import FullEmbedding
from models.encoders.cone import ConeEncoder
from models.encoders.self_attention import SelfAttentionEncoder
from models.layers.attention import CausalSelfAttention
from models.layers.block import Block
from models.layers.feed_forward import FeedForward, GatedFeedForward
from models.layers.gated_block import GatedBlock
from models.native.layout import Block as NativeBlock
from models.native.layout import Linear as NativeLinear
from models.native.layout import Model as NativeModel
from models.native.library import aligned
from models.recommender import SequentialRecommender
from models.runners.folding import STEP, Affine, folded_attention, value_width


class PackedModel:
    """`native` points to arrays that live as long as this does."""

    def __init__(self, model: SequentialRecommender) -> None:
        """ValueError for a model that the library does not know."""
        if not knows(model):
            raise ValueError(f"the native library does not know {model.config.encoder.name} as this model has it")
        self._kept: list[object] = []
        self.native = self._packed(model)

    def _packed(self, model: SequentialRecommender) -> NativeModel:
        encoder, embedding = model.encoder, model.embedding
        assert isinstance(encoder, ConeEncoder | SelfAttentionEncoder)
        blocks = [block for block in encoder.blocks if isinstance(block, GatedBlock | Block)]
        first = blocks[0].attention
        assert isinstance(first, CausalSelfAttention)
        assert first.rotary is not None
        packed = NativeModel(
            blocks=(NativeBlock * len(blocks))(*(self._block(block) for block in blocks)),
            intervals=self._array(model.intervals.vectors.weight) if model.intervals else None,
            cos=self._array(first.rotary.cos),
            sin=self._array(first.rotary.sin),
            norm_weight=self._array(encoder.norm.weight),
            norm_bias=self._array(encoder.norm.bias),
            num_items=embedding.num_items,
            dim=embedding.dim,
            heads=first.heads,
            value_width=value_width(embedding.dim, first.heads),
            hidden=_hidden(blocks[0]),
            max_len=model.config.max_len,
            layers=len(blocks),
            is_cone=isinstance(encoder, ConeEncoder),
            window=encoder.window if isinstance(encoder, ConeEncoder) else 0,
            scale=encoder.scale,
            norm_epsilon=encoder.norm.eps,
        )
        if isinstance(embedding, CodesEmbedding):
            packed.vectors, packed.codes = self._array(embedding.pieces.weight), self._array(embedding.kept)
            packed.num_subspaces, packed.codebook_size = embedding.num_subspaces, embedding.codebook_size
            packed.code_bytes, packed.codes_are_packed = embedding.kept.shape[1], embedding.is_packed
        else:
            packed.vectors = self._array(embedding.get_parameter("vectors.weight"))
        return packed

    def _block(self, block: GatedBlock | Block) -> NativeBlock:
        assert isinstance(block.attention, CausalSelfAttention)
        parts = folded_attention(block.attention, block.attention_norm)
        wide, narrow = _feed_forward(block)
        parts |= {"wide": Affine.of(wide).after(block.feed_forward_norm), "narrow": Affine.of(narrow)}
        if isinstance(block, GatedBlock):
            parts["attention_gate"] = Affine.of(block.attention_gate)
            parts["feed_forward_gate"] = Affine.of(block.feed_forward_gate)
        return NativeBlock(
            **{name: self._linear(part) for name, part in parts.items()},
            attention_epsilon=block.attention_norm.eps,
            feed_forward_epsilon=block.feed_forward_norm.eps,
        )

    def _linear(self, part: Affine) -> NativeLinear:
        outputs, inputs = part.weight.shape
        weight, bias = self._floats(part.panels()), self._floats(part.bias.astype(np.float32))
        return NativeLinear(weight=weight, bias=bias, inputs=inputs, outputs=outputs)

    def _floats(self, values: NDArray[np.float32]) -> int:
        """The address of an aligned copy that stays."""
        copy = aligned(values.size)
        copy[:] = values
        self._kept.append(copy)
        return int(copy.ctypes.data)

    def _array(self, tensor: Tensor) -> int:
        """The address of a tensor's own memory: a table of items is not held twice."""
        kept = tensor.detach().contiguous()
        self._kept.append(kept)
        return int(kept.data_ptr())


def knows(model: SequentialRecommender) -> bool:
    """Whether the library computes what this model computes, on the CPU and in float32."""
    encoder, embedding, config = model.encoder, model.embedding, model.config
    if type(embedding) not in (FullEmbedding, CodesEmbedding) or config.dim % STEP:
        return False
    weights = list(model.parameters())
    if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in weights):
        return False
    if isinstance(encoder, SelfAttentionEncoder):
        if not isinstance(encoder.positions, nn.Identity):
            return False
    elif not isinstance(encoder, ConeEncoder):
        return False
    return all(
        isinstance(block, GatedBlock | Block)
        and isinstance(block.attention, CausalSelfAttention)  # and not one that another block owns
        and isinstance(block.feed_forward, FeedForward | GatedFeedForward)
        and _hidden(block) % STEP == 0
        for block in encoder.blocks
    )


def _hidden(block: GatedBlock | Block) -> int:
    return _feed_forward(block)[1].in_features


def _feed_forward(block: GatedBlock | Block) -> tuple[nn.Linear, nn.Linear]:
    """The way into the hidden features, and out of them."""
    part = block.feed_forward
    if isinstance(part, GatedFeedForward):
        return part.wide, part.narrow
    assert isinstance(part, FeedForward)
    wide, narrow = part.network[0], part.network[3]
    assert isinstance(wide, nn.Linear)
    assert isinstance(narrow, nn.Linear)
    return wide, narrow
