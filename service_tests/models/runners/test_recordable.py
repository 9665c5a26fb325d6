"""What an answer computes can be held in a graph: nothing comes from the host, and nothing waits for a value."""

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.batch import SequenceBatch
from models.presets import PRESETS
from service_tests.models.runners.random_models import config_of, random_model

META = torch.device("meta")


class MadeOfNumbers(TorchFunctionMode):
    """Notes tensors that are made of Python's numbers: they are copied over from memory that is not pinned."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


class FromTheHost(TorchDispatchMode):
    """Notes what is done with tensors that are not on the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device != META for tensor in tensors):
            self.found.append(str(func))
        return made


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"cprec"}))
@pytest.mark.parametrize("length", [1, 16, 128, 200])
def test_an_answer_stays_on_its_device(preset: str, length: int) -> None:
    """A device without memory or values stands for the GPU."""
    model = random_model(config_of(preset)).to(META)
    shape = (4, length)
    items, times = torch.empty(2, *shape, dtype=torch.int64, device=META).unbind()
    with torch.no_grad(), FromTheHost() as from_the_host, MadeOfNumbers() as made_of_numbers:
        model.encode_last(SequenceBatch(items, torch.empty(4, dtype=torch.int64, device=META), times))
    assert from_the_host.found == made_of_numbers.found == []


def test_blocks_of_falling_rank_cannot_be_recorded() -> None:
    """How many items of a batch fall into which block, and so every shape behind it, is a value."""
    model = random_model(config_of("cprec")).to(META)
    items = torch.empty(4, 16, dtype=torch.int64, device=META)
    with pytest.raises(NotImplementedError, match="nonzero"), torch.no_grad():
        model.encode_last(SequenceBatch(items, torch.empty(4, dtype=torch.int64, device=META)))
