"""Random models in which every weight matters: matrices keep the scale of their input, biases are not zero."""

import dataclasses

import numpy as np
import torch

from models.batch import History, Times
from models.build import build_model
from models.config import ModelConfig, Part
from models.presets import preset
from models.recommender import SequentialRecommender

NUM_ITEMS = 300


def make_random_model(config: ModelConfig, seed: int = 0, num_items: int = NUM_ITEMS) -> SequentialRecommender:
    torch.manual_seed(seed)
    model = build_model(config, num_items).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=config.dim**-0.5)
            else:
                parameter.add_(0.2 * torch.randn_like(parameter))
    for part in (model.periods, model.requests):
        if part is not None:
            part.fit(make_random_histories([1, 9, 40])[1])  # a test of these histories meets every boundary
    return model


def make_config(name: str, *, dim: int = 64, max_len: int = 200, **encoder: object) -> ModelConfig:
    """Build the configuration of a preset with other options of its encoder."""
    config = preset(name)
    part = Part(config.encoder.name, {**config.encoder.options, **encoder})
    return dataclasses.replace(config, dim=dim, max_len=max_len, encoder=part)


def make_random_histories(
    lengths: list[int], seed: int = 0, num_items: int = NUM_ITEMS
) -> tuple[list[History], list[Times]]:
    """Return histories and times, of which some are unknown, some equal and some out of order."""
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, length) for length in lengths]
    times = []
    for length in lengths:
        steps = (2.0 ** rng.uniform(0, 25, length)).astype(np.int64) * rng.choice([0, 1, 1, 1, -1], length)
        seconds = np.clip(np.cumsum(steps) + 10**9, 0, 2**32 - 1)
        seconds[rng.random(length) < 0.1] = rng.choice([0, 5, 2**32 - 1])
        times.append(seconds.astype(np.uint32))
    return histories, times


def make_request_times(times: list[Times], seed: int = 0) -> Times:
    """Return (B,) times of requests after the last events, of which some are unknown, equal or too early."""
    rng = np.random.default_rng(seed)
    last = np.array([seconds[-1] for seconds in times], dtype=np.int64)
    steps = (2.0 ** rng.uniform(0, 31, len(times))).astype(np.int64) * rng.choice([0, 1, 1, 1, -1], len(times))
    requests: Times = np.clip(last + steps, 0, 2**32 - 1).astype(np.uint32)
    requests[2::3] = 0
    return requests
