"""Join the ranks of a distributed run, from the environment that torchrun or another launcher sets.

The collectives between ranks are in models/ranks.py.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

# Optimizers import this in their first step, and its default arguments would then reference the open group: its threads
# would outlive `destroy_process_group` and sometimes abort the process at exit.
import torch.distributed.nn.functional

from models.ranks import SINGLE_PROCESS, PeerLost, Ranks, run_collective


@contextmanager
def join_ranks(device: torch.device, wait_s: float) -> Iterator[Ranks]:
    """Join the WORLD_SIZE ranks at MASTER_ADDR:MASTER_PORT; without WORLD_SIZE yield a single process.

    `wait_s` bounds every wait for another rank, including the first. Inside the block only the first rank prints to
    standard output and error; exceptions are raised with the rank's number in front.
    """
    size = _read_number("WORLD_SIZE", 1)
    if size == 1:
        yield SINGLE_PROCESS
        return
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ValueError(f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start ranks with torchrun")
    ranks = Ranks(_read_number("RANK", 0), size)
    if ranks.rank >= size:
        raise ValueError(f"RANK must be below WORLD_SIZE {size} (got {ranks.rank})")
    try:
        _init_process_group(ranks, device, wait_s)
        with _mute_other_ranks(ranks):
            # Otherwise GPUs would wait for a machine without any.
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
    """Select the GPU of this rank by LOCAL_RANK; ValueError if the machine has too few."""
    if device.type != "cuda" or "WORLD_SIZE" not in os.environ:
        return device
    number, count = _read_number("LOCAL_RANK", 0), torch.cuda.device_count()
    if number >= count:
        raise ValueError(f"LOCAL_RANK is {number}, but this machine has {count} GPUs; start one rank per GPU")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _init_process_group(ranks: Ranks, device: torch.device, wait_s: float) -> None:
    run_collective(
        lambda: dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            rank=ranks.rank,
            world_size=ranks.size,
            timeout=timedelta(seconds=wait_s),
        )
    )


@contextmanager
def _mute_other_ranks(ranks: Ranks) -> Iterator[None]:
    with ExitStack() as stack:
        if not ranks.is_first:
            devnull = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(devnull))
            stack.enter_context(redirect_stderr(devnull))
        yield


def _read_number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name} must be an integer of at least 0 (got {text!r})")
    return int(text)
