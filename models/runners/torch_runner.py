"""Reference runner: any model in torch, on any device."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.batch import History, Times, pad_right
from models.recommender import SequentialRecommender
from models.runners.base import Encoded, Runner

CPU_GROUP = 8
"""Histories that a CPU encodes together."""


class TorchRunner(Runner):
    """Groups histories of similar length on a CPU, and encodes the whole batch together on a GPU.

    A CPU computes as many cells per second for 8 histories as for 32, so small groups avoid most of the padding.
    """

    name = "torch"

    def __init__(self, model: SequentialRecommender, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self._device = device
        self._max_len = model.config.max_len

    @torch.inference_mode()
    def encode(
        self,
        histories: Sequence[History],
        times: Sequence[Times] | None = None,
        request_times: Times | None = None,
    ) -> Encoded:
        group = CPU_GROUP if self._device.type == "cpu" else len(histories)
        order = np.argsort([min(len(history), self._max_len) for history in histories], kind="stable")
        hidden: list[Tensor] = []
        cells = items = 0
        for start in range(0, len(order), group):
            rows = order[start : start + group]
            group_times = None if times is None else [times[row] for row in rows]
            requests = None if request_times is None else request_times[rows]
            batch = pad_right([histories[row] for row in rows], self._max_len, group_times, requests)
            hidden.append(self._model.encode_last(batch.to(self._device)))
            cells += batch.items.numel()
            items += int(batch.lengths.sum())
        if not hidden:
            raise ValueError("no histories; pass at least one")
        original_order = torch.from_numpy(np.argsort(order)).to(self._device)
        return Encoded(torch.cat(hidden)[original_order], 1.0 - items / cells)
