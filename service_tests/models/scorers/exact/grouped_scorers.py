"""GPU scorers on any device: `for_model` refuses a CPU, so they are built directly."""

import torch

from models.recommender import SequentialRecommender
from models.scorers.base import Scorer
from models.scorers.exact.grouped import GROUP, GroupedScorer
from models.scorers.exact.triton_scorer import TritonScorer
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import GroupMaxima

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_grouped_scorer(model: SequentialRecommender, *, cells: int) -> Scorer:
    return GroupedScorer(ItemVectors(model), cells)


def make_triton_scorer(model: SequentialRecommender) -> Scorer:
    return TritonScorer(ItemVectors(model), GroupMaxima(model.embedding, GROUP))
