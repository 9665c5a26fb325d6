"""Ranks that are started wrongly are told what is wrong, by the name of the variable."""

import pytest
import torch

from models.ranks import SINGLE_PROCESS, PeerLost
from models.training.launch import join_ranks, select_rank_device
from service_tests.models.training.rank_processes import CPU, rank_environment
from service_tests.support.nextup_process import find_free_port

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def started(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("size", [None, "1"])
def test_without_others_a_process_is_alone_and_waits_for_nobody(
    size: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, **({} if size is None else {"WORLD_SIZE": size}))
    with join_ranks(CPU, 1e-9) as ranks:
        assert ranks == SINGLE_PROCESS
        assert ranks.broadcast_object("mine") == "mine"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT is not set: start ranks with torchrun",
        ),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a number from 0, not 'two'"),
        ({**rank_environment(2, 2, 1)}, "RANK must be below WORLD_SIZE, 2, not 2"),
        ({**rank_environment(0, 2, 1), "RANK": "-1"}, "RANK must be a number from 0, not '-1'"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    variables: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, **variables)
    with pytest.raises(ValueError, match=told), join_ranks(CPU, 1.0):
        pass


def test_a_rank_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cuda = torch.device("cuda")
    assert select_rank_device(cuda) == cuda
    started(monkeypatch, **rank_environment(1, 2, 1))
    assert select_rank_device(CPU) == CPU
    with pytest.raises(ValueError, match="LOCAL_RANK is 1, but this machine has 1 GPUs: one rank for each"):
        select_rank_device(cuda)


def test_a_rank_whose_peer_never_comes_says_so_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, **rank_environment(0, 2, find_free_port()))
    told = "rank 0 of 2: another rank ended or did not answer in time"
    with pytest.raises(PeerLost, match=told), join_ranks(CPU, 1.0):
        pass
