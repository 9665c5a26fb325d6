"""Training in two stages: a full table first, then its codes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from models.config import ModelConfig, Part
from models.training.options import TrainingOptions
from models.training.stages import FIRST, train_model, transfer_weights
from models.training.trainer import Trainer
from service_tests.models.training.test_trainer import CPU, OPTIONS, cyclic_log, same_weights

CODES = ModelConfig(
    Part("codes", {"splits": 8, "codebook": 16}), Part("self_attention"), Part("tied"), dim=16, max_len=20, dropout=0.1
)


def test_the_codes_keep_what_the_full_table_has_learned(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=12)
    model, curve, best = train_model(cyclic_log(), CODES, options, CPU, tmp_path, resume=False)
    assert [record.epoch for record in curve] == list(range(1, len(curve) + 1))
    assert len(curve) > 12
    first, second = curve[:12], curve[12:]
    assert best in second, "the figures of a model are those of its own weights"
    assert max(r.ndcg for r in second) > 0.8 * max(r.ndcg for r in first)
    assert second[0].loss < first[0].loss, "the second stage does not start anew"
    assert model.embedding.state_dict()["kept"].dtype == torch.uint8


def test_a_run_killed_in_either_stage_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _, _ = train_model(cyclic_log(), CODES, OPTIONS, CPU, tmp_path / "whole", resume=False)
    for epochs_before in (2, 5):  # of the four in each stage
        folder, left = tmp_path / str(epochs_before), iter(range(epochs_before))
        finish = Trainer._finish_epoch

        def finish_or_die(self: Trainer, finish: object = finish, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            finish(self)  # type: ignore[operator]

        with monkeypatch.context() as killed:
            killed.setattr(Trainer, "_finish_epoch", finish_or_die)
            with pytest.raises(KeyboardInterrupt):
                train_model(cyclic_log(), CODES, OPTIONS, CPU, folder, resume=False)
        resumed, curve, _ = train_model(cyclic_log(), CODES, OPTIONS, CPU, folder, resume=True)
        assert len(curve) == 8
        assert same_weights(resumed, whole)


def test_minutes_are_for_both_stages_together() -> None:
    options = TrainingOptions(max_minutes=10.0)
    assert options.to_first_stage().max_minutes == pytest.approx(7.0)
    assert options.to_second_stage().max_minutes == pytest.approx(3.0)
    assert TrainingOptions().to_second_stage().max_minutes is None
    assert TrainingOptions(epochs=28, schedule="linear").to_second_stage().epochs == 7
    assert TrainingOptions(epochs=28).to_second_stage().epochs == 28


def test_taking_over_changes_no_weight_of_the_encoder(tmp_path: Path) -> None:
    model, _, _ = train_model(cyclic_log(), CODES, dataclasses.replace(OPTIONS, epochs=1), CPU, tmp_path, resume=False)
    full, _, _ = train_model(
        cyclic_log(), dataclasses.replace(CODES, embedding=Part("full")), OPTIONS, CPU, tmp_path / FIRST, resume=False
    )
    transfer_weights(model, full, cyclic_log().catalogue)
    assert all(torch.equal(a, b) for a, b in zip(model.encoder.parameters(), full.encoder.parameters(), strict=True))
