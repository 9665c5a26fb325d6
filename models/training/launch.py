"""How the processes of one training find each other: by what torchrun, or another launcher, puts into the environment.

Knows variables, devices and standard output; what the processes then say to each other is in models/ranks.py.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

# An optimiser imports this in its first step, and default arguments in it would then keep the group that is open: its
# threads would outlive `destroy_process_group`, and now and then abort the process at its end.
import torch.distributed.nn.functional

from models.ranks import SINGLE_PROCESS, PeerLost, Ranks, run_collective


@contextmanager
def join_ranks(device: torch.device, wait_s: float) -> Iterator[Ranks]:
    """All ranks that WORLD_SIZE counts, found at MASTER_ADDR and MASTER_PORT; this process alone without WORLD_SIZE.

    `wait_s` bounds every wait for another rank, the first one too. Only the first rank is heard on standard output and
    error while it lasts; errors come out of it, with the number of the rank in front.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield SINGLE_PROCESS
        return
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ValueError(f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: start ranks with torchrun")
    ranks = Ranks(_number("RANK", 0), size)
    if ranks.rank >= size:
        raise ValueError(f"RANK must be below WORLD_SIZE, {size}, not {ranks.rank}")
    try:
        _open(ranks, device, wait_s)
        with _quiet(ranks):
            # Else GPUs would wait for a machine that has none.
            ranks.assert_equal_across_ranks(f"devices (here {device.type})", device.type)
            yield ranks
    except PeerLost as error:
        raise PeerLost(f"rank {ranks.rank} of {size}: {error}") from error
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"rank {ranks.rank} of {size}: {error}") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def select_rank_device(device: torch.device) -> torch.device:
    """A GPU for each rank of this machine, by LOCAL_RANK; ValueError where there are not as many."""
    if device.type != "cuda" or "WORLD_SIZE" not in os.environ:
        return device
    number, count = _number("LOCAL_RANK", 0), torch.cuda.device_count()
    if number >= count:
        raise ValueError(f"LOCAL_RANK is {number}, but this machine has {count} GPUs: one rank for each")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _open(ranks: Ranks, device: torch.device, wait_s: float) -> None:
    run_collective(
        lambda: dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            rank=ranks.rank,
            world_size=ranks.size,
            timeout=timedelta(seconds=wait_s),
        )
    )


@contextmanager
def _quiet(ranks: Ranks) -> Iterator[None]:
    with ExitStack() as stack:
        if not ranks.is_first:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name} must be a number from 0, not {text!r}")
    return int(text)
