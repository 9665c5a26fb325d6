"""Registry of model parts and construction of models. A new part is one file and one line here."""

import dataclasses
from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from models.catalogue.catalogue import Catalogue
from models.config import ModelConfig, Part
from models.embeddings.base import ItemEmbedding
from models.embeddings.blocks import BlockEmbedding
from models.embeddings.codes import CodesEmbedding
from models.embeddings.compositional import CompositionalEmbedding
from models.embeddings.full import FullEmbedding
from models.encoders.base import SequenceEncoder
from models.encoders.blossom import BlossomEncoder
from models.encoders.cone import ConeEncoder
from models.encoders.dilated_convolution import DilatedConvolutionEncoder
from models.encoders.none import NoEncoder
from models.encoders.self_attention import SelfAttentionEncoder
from models.encoders.twin_attention import TwinAttentionEncoder
from models.heads.adaptive import AdaptiveHead
from models.heads.base import ScoringHead
from models.heads.dense import DenseHead
from models.heads.popularity import PopularityHead
from models.heads.tied import TiedHead
from models.layers.block import initialize_weights
from models.recommender import SequentialRecommender

SIZED_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange)
"""Functions with which parts create their tensors; an arange counts by its end."""

EMBEDDINGS: Mapping[str, type[ItemEmbedding]] = {
    "full": FullEmbedding,
    "blocks": BlockEmbedding,
    "codes": CodesEmbedding,
    "compositional": CompositionalEmbedding,
}
ENCODERS: Mapping[str, type[SequenceEncoder]] = {
    "self_attention": SelfAttentionEncoder,
    "blossom": BlossomEncoder,
    "cone": ConeEncoder,
    "dilated_convolution": DilatedConvolutionEncoder,
    "twin_attention": TwinAttentionEncoder,
    "none": NoEncoder,
}
HEADS: Mapping[str, type[ScoringHead]] = {
    "tied": TiedHead,
    "adaptive": AdaptiveHead,
    "dense": DenseHead,
    "popularity": PopularityHead,
}


def build_model(config: ModelConfig, num_items: int) -> SequentialRecommender:
    """Build a model with fresh weights from torch's global random state.

    ValueError names an unknown part or option.
    """
    model = _assemble(config, num_items)
    model.apply(initialize_weights)
    model.embedding.reset_special()
    model.encoder.reset_special()
    return model


def build_uninitialized_model(
    config: ModelConfig, num_items: int, *, max_cells: int | None = None, max_tensors: int | None = None
) -> SequentialRecommender:
    """Build a model with uninitialized weights, to be replaced by assignment of loaded ones.

    ValueError as soon as it creates more than `max_cells` numbers or `max_tensors` tensors, whatever the config says.

    The system does not allocate memory before it is written; filling tables of ten million items, only to discard
    them, takes seconds and gigabytes. The meta device is no alternative: its first use imports a compiler, 1 s and
    40 MB.
    """
    with _SkipInit(max_cells, max_tensors):
        return _assemble(config, num_items)


def _assemble(config: ModelConfig, num_items: int) -> SequentialRecommender:
    embedding = _build_part("embedding", EMBEDDINGS, config.embedding, num_items, config.dim)
    encoder = _build_part("encoder", ENCODERS, config.encoder, config.dim, config.max_len, config.dropout)
    head = _build_part("head", HEADS, config.head, num_items, config.dim)
    return SequentialRecommender(config, embedding, encoder, head)


class _SkipInit(TorchFunctionMode):
    """While this mode is active, torch's layers do not initialize their weights, and new tensors are counted."""

    def __init__(self, max_cells: int | None, max_tensors: int | None) -> None:
        super().__init__()
        self._cells = inf if max_cells is None else max_cells
        self._tensors = inf if max_tensors is None else max_tensors

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        if func in (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_):
            return args[0] if args else keywords["tensor"]
        if func in SIZED_FACTORIES:
            self._count(prod(_list_sizes(args, keywords)))
        return func(*args, **keywords)

    def _count(self, cells: int) -> None:
        self._cells -= cells
        self._tensors -= 1
        if self._cells < 0 or self._tensors < 0:
            raise ValueError("it describes a model with more weights than the file of the weights has")


def _list_sizes(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Sequence[int]:
    size = keywords.get("size", args[0] if args and isinstance(args[0], Sequence) else args)
    return [each for each in size if isinstance(each, int)]


def complete_config(config: ModelConfig, catalogue: Catalogue) -> ModelConfig:
    """Fill in the options that depend on the data, so that `build_model` can rebuild the model without it."""
    name, options = config.embedding.name, config.embedding.options
    if name not in EMBEDDINGS:
        return config  # `build_model` reports the unknown name
    return dataclasses.replace(config, embedding=Part(name, EMBEDDINGS[name].complete_options(catalogue, options)))


def _build_part(kind: str, parts: Mapping[str, Any], part: Part, *sizes: float) -> Any:
    if part.name not in parts:
        raise ValueError(f"unknown {kind} {part.name!r}; choose from {', '.join(sorted(parts))}")
    try:
        return parts[part.name](*sizes, **part.options)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"{kind} {part.name!r} does not take these options: {error}") from error
