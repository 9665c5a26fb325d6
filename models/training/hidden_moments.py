"""Second moments of the hidden vectors of a trained model, for embeddings that are compressed for its scores."""

import numpy as np
import torch
from torch import Tensor

from models.data.dataset import Dataset
from models.data.splits import select_training_histories, select_training_times
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner

MAX_HISTORIES, BATCH = 2_000, 100


@torch.no_grad()
def compute_hidden_moments(model: SequentialRecommender, dataset: Dataset) -> Tensor:
    """Compute the mean of h h' (dim, dim) over evenly spaced training histories; `model` must be on the CPU."""
    histories = select_training_histories(dataset)
    users = np.flatnonzero([len(history) > 0 for history in histories])
    users = users[np.unique(np.linspace(0, len(users) - 1, min(MAX_HISTORIES, len(users))).astype(np.int64))]
    times = select_training_times(dataset) if model.reads_times else None
    runner = choose_runner(model.eval(), torch.device("cpu"))
    moments = torch.zeros(model.config.dim, model.config.dim)
    for batch in np.split(users, range(BATCH, len(users), BATCH)):
        batch_times = None if times is None else [times[user] for user in batch]
        hidden = runner.encode([histories[user] for user in batch], batch_times).hidden.float()
        moments += hidden.T @ hidden
    return moments / len(users)
