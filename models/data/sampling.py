"""A few users of a dataset, so that measurements do not take the time of the whole log."""

import numpy as np

from models.data.dataset import Dataset


def sample_users(dataset: Dataset, limit: int) -> Dataset:
    """Return a dataset of at most `limit` users, evenly spaced, with the same catalogue."""
    if dataset.num_users <= limit:
        return dataset
    users = np.linspace(0, dataset.num_users - 1, limit).astype(np.int64)
    lengths = np.diff(dataset.offsets)[users]
    is_sampled = np.zeros(dataset.num_users, dtype=bool)
    is_sampled[users] = True
    events = np.repeat(is_sampled, np.diff(dataset.offsets))
    return Dataset(
        catalogue=dataset.catalogue,
        user_ids=[dataset.user_ids[user] for user in users],
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        items=dataset.items[events],
        times=None if dataset.times is None else dataset.times[events],
        num_log_events=None if dataset.num_log_events is None else dataset.num_log_events[users],
        weights=None if dataset.weights is None else dataset.weights[events],
        held_out=None if dataset.held_out is None else dataset.held_out.select(users),
    )
