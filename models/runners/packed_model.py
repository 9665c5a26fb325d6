"""A model as the native library reads it: weights folded and packed once, item tables shared with torch.

The library supports the encoders `cone` and `self_attention`, the latter with rotary positions and without shared
layers, over `full` or `codes` embeddings.
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
from models.native.layout import Linear as NativeLinear
from models.native.layout import Model as NativeModel
from models.native.layout import NativeBlock
from models.native.library import allocate_aligned
from models.recommender import SequentialRecommender
from models.runners.folding import STEP, Affine, compute_value_width, fold_attention


class PackedModel:
    """Owns the arrays that `native` points to."""

    def __init__(self, model: SequentialRecommender) -> None:
        """Raise ValueError for a model that the library does not support."""
        if not is_supported(model):
            raise ValueError(f"the native library does not support this {model.config.encoder.name} model")
        self._owned_arrays: list[object] = []
        self.native = self._pack_model(model)

    def _pack_model(self, model: SequentialRecommender) -> NativeModel:
        encoder, embedding = model.encoder, model.embedding
        assert isinstance(encoder, ConeEncoder | SelfAttentionEncoder)
        blocks = [block for block in encoder.blocks if isinstance(block, GatedBlock | Block)]
        first = blocks[0].attention
        assert isinstance(first, CausalSelfAttention)
        assert first.rotary is not None
        packed = NativeModel(
            blocks=(NativeBlock * len(blocks))(*(self._pack_block(block) for block in blocks)),
            intervals=self._share(model.intervals.vectors.weight) if model.intervals else None,
            periods=self._share(model.periods.vectors.weight) if model.periods else None,
            boundaries=self._share(model.periods.boundaries) if model.periods else None,
            **self._pack_requests(model),
            cos=self._share(first.rotary.cos),
            sin=self._share(first.rotary.sin),
            norm_weight=self._share(encoder.norm.weight),
            norm_bias=self._share(encoder.norm.bias),
            num_items=embedding.num_items,
            dim=embedding.dim,
            heads=first.heads,
            value_width=compute_value_width(embedding.dim, first.heads),
            hidden=_get_hidden_width(blocks[0]),
            max_len=model.config.max_len,
            layers=len(blocks),
            is_cone=isinstance(encoder, ConeEncoder),
            window=encoder.window if isinstance(encoder, ConeEncoder) else 0,
            num_periods=model.config.periods,
            scale=encoder.scale,
            norm_epsilon=encoder.norm.eps,
        )
        if isinstance(embedding, CodesEmbedding):
            packed.vectors, packed.codes = self._share(embedding.pieces.weight), self._share(embedding.kept)
            packed.num_subspaces, packed.codebook_size = embedding.num_subspaces, embedding.codebook_size
            packed.code_bytes, packed.codes_are_packed = embedding.kept.shape[1], embedding.is_packed
        else:
            packed.vectors = self._share(embedding.get_parameter("vectors.weight"))
        return packed

    def _pack_requests(self, model: SequentialRecommender) -> dict[str, int | None]:
        requests = model.requests
        if requests is None:
            return {}
        return {
            "request_intervals": self._share(requests.intervals.weight),
            "request_periods": None if requests.periods is None else self._share(requests.periods.weight),
            "longest_interval": int(requests.longest),
        }

    def _pack_block(self, block: GatedBlock | Block) -> NativeBlock:
        assert isinstance(block.attention, CausalSelfAttention)
        parts = fold_attention(block.attention, block.attention_norm)
        wide, narrow = _get_feed_forward(block)
        parts |= {
            "wide": Affine.from_linear(wide).fold_norm(block.feed_forward_norm),
            "narrow": Affine.from_linear(narrow),
        }
        if isinstance(block, GatedBlock):
            parts["attention_gate"] = Affine.from_linear(block.attention_gate)
            parts["feed_forward_gate"] = Affine.from_linear(block.feed_forward_gate)
        return NativeBlock(
            **{name: self._pack_linear(part) for name, part in parts.items()},
            attention_epsilon=block.attention_norm.eps,
            feed_forward_epsilon=block.feed_forward_norm.eps,
        )

    def _pack_linear(self, part: Affine) -> NativeLinear:
        outputs, inputs = part.weight.shape
        weight, bias = self._copy_aligned(part.pack_panels()), self._copy_aligned(part.bias.astype(np.float32))
        return NativeLinear(weight=weight, bias=bias, inputs=inputs, outputs=outputs)

    def _copy_aligned(self, values: NDArray[np.float32]) -> int:
        """Copy the values to aligned memory and return its address."""
        copy = allocate_aligned(values.size)
        copy[:] = values
        self._owned_arrays.append(copy)
        return int(copy.ctypes.data)

    def _share(self, tensor: Tensor) -> int:
        """Return the address of a tensor's own memory, so that item tables are not held twice."""
        shared = tensor.detach().contiguous()
        self._owned_arrays.append(shared)
        return int(shared.data_ptr())


def is_supported(model: SequentialRecommender) -> bool:
    """Whether the library can run this model: on the CPU, in float32, with supported parts."""
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
        and isinstance(block.attention, CausalSelfAttention)  # rather than one that another block owns
        and isinstance(block.feed_forward, FeedForward | GatedFeedForward)
        and _get_hidden_width(block) % STEP == 0
        for block in encoder.blocks
    )


def _get_hidden_width(block: GatedBlock | Block) -> int:
    return _get_feed_forward(block)[1].in_features


def _get_feed_forward(block: GatedBlock | Block) -> tuple[nn.Linear, nn.Linear]:
    """Return the layers into the hidden features and out of them."""
    part = block.feed_forward
    if isinstance(part, GatedFeedForward):
        return part.wide, part.narrow
    assert isinstance(part, FeedForward)
    wide, narrow = part.network[0], part.network[3]
    assert isinstance(wide, nn.Linear)
    assert isinstance(narrow, nn.Linear)
    return wide, narrow
