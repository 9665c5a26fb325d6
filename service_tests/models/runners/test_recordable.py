"""Models can be recorded as a CUDA graph: encoding copies nothing from the host and waits for no value."""

import dataclasses
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.batch import SequenceBatch
from models.presets import PRESETS
from service_tests.models.runners.random_models import make_config, make_random_model

META = torch.device("meta")


class HostConstantRecorder(TorchFunctionMode):
    """Records tensors built from Python numbers, which are copied from unpinned host memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor):
            self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


class HostTensorRecorder(TorchDispatchMode):
    """Records operations on tensors that are not on the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device != META for tensor in tensors):
            self.calls.append(str(func))
        return result


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"cprec"}))
@pytest.mark.parametrize("length", [1, 16, 128, 200])
def test_encoding_stays_on_the_device(preset: str, length: int) -> None:
    """The meta device, without memory or values, replaces the GPU."""
    model = make_random_model(dataclasses.replace(make_config(preset), periods=8, request_times=True)).to(META)
    shape = (4, length)
    items, times = torch.empty(2, *shape, dtype=torch.int64, device=META).unbind()
    with torch.no_grad(), HostTensorRecorder() as host_tensors, HostConstantRecorder() as host_constants:
        lengths, requests = torch.empty(2, 4, dtype=torch.int64, device=META).unbind()
        model.encode_last(SequenceBatch(items, lengths, times, requests))
    assert host_tensors.calls == host_constants.calls == []


def test_low_rank_blocks_cannot_be_recorded() -> None:
    """The number of items of a batch in each block, and so every following shape, depends on values."""
    model = make_random_model(make_config("cprec")).to(META)
    items = torch.empty(4, 16, dtype=torch.int64, device=META)
    with pytest.raises(NotImplementedError, match="nonzero"), torch.no_grad():
        model.encode_last(SequenceBatch(items, torch.empty(4, dtype=torch.int64, device=META)))
