"""The scorers of a GPU on the machine that is there: what for_model refuses on a CPU is put together by hand."""

import torch

from models.recommender import SequentialRecommender
from models.scorers.base import Scorer
from models.scorers.exact.grouped import GROUP, GroupedScorer
from models.scorers.exact.triton_scorer import TritonScorer
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import GroupMaxima

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def grouped_scorer(model: SequentialRecommender, *, cells: int) -> Scorer:
    return GroupedScorer(ItemVectors(model), cells)


def triton_scorer(model: SequentialRecommender) -> Scorer:
    return TritonScorer(ItemVectors(model), GroupMaxima(model.embedding, GROUP))
