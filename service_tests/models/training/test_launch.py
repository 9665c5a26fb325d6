"""Joining ranks from the environment, and errors that name the wrong variable."""

import pytest
import torch

from models.ranks import SINGLE_PROCESS, PeerLost
from models.training.launch import join_ranks, select_rank_device
from service_tests.models.training.rank_processes import CPU, rank_environment
from service_tests.support.nextup_process import find_free_port

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def without_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def set_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("size", [None, "1"])
def test_single_process_needs_no_peers(size: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, **({} if size is None else {"WORLD_SIZE": size}))
    with join_ranks(CPU, 1e-9) as ranks:
        assert ranks == SINGLE_PROCESS
        assert ranks.broadcast_object("value") == "value"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT is not set; start ranks with torchrun",
        ),
        ({"WORLD_SIZE": "two"}, r"WORLD_SIZE must be an integer of at least 0 \(got 'two'\)"),
        ({**rank_environment(2, 2, 1)}, r"RANK must be below WORLD_SIZE 2 \(got 2\)"),
        ({**rank_environment(0, 2, 1), "RANK": "-1"}, r"RANK must be an integer of at least 0 \(got '-1'\)"),
    ],
)
def test_invalid_environment_error_names_the_variable(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, **variables)
    with pytest.raises(ValueError, match=message), join_ranks(CPU, 1.0):
        pass


def test_rank_without_a_dedicated_gpu_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cuda = torch.device("cuda")
    assert select_rank_device(cuda) == cuda
    set_environment(monkeypatch, **rank_environment(1, 2, 1))
    assert select_rank_device(CPU) == CPU
    with pytest.raises(ValueError, match="LOCAL_RANK is 1, but this machine has 1 GPUs; start one rank per GPU"):
        select_rank_device(cuda)


@pytest.mark.slow
def test_missing_peer_raises_peer_lost_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, **rank_environment(0, 2, find_free_port()))
    message = "rank 0 of 2: another rank ended or did not answer in time"
    with pytest.raises(PeerLost, match=message), join_ranks(CPU, 1.0):
        pass
