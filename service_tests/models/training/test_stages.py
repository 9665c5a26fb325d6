"""Training in two stages: first a full table, then codes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from models.config import ModelConfig, Part
from models.training.options import RunContext, TrainingOptions
from models.training.stages import FULL_TABLE_FOLDER, train_model, transfer_weights
from models.training.trainer import Trainer
from service_tests.models.training.test_trainer import CPU, OPTIONS, have_same_weights, make_cyclic_log

pytestmark = pytest.mark.slow

CODES = ModelConfig(
    Part("codes", {"splits": 8, "codebook": 16}), Part("self_attention"), Part("tied"), dim=16, max_len=20, dropout=0.1
)


def test_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=12)
    model, curve, best = train_model(make_cyclic_log(), CODES, options, RunContext(CPU, tmp_path))
    assert [record.epoch for record in curve] == list(range(1, len(curve) + 1))
    assert len(curve) > 12
    first, second = curve[:12], curve[12:]
    assert best in second, "the reported metrics belong to the final weights"
    assert max(r.ndcg for r in second) > 0.8 * max(r.ndcg for r in first)
    assert second[0].loss < first[0].loss, "the second stage does not start from scratch"
    assert model.embedding.state_dict()["kept"].dtype == torch.uint8


def test_run_killed_in_either_stage_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _, _ = train_model(make_cyclic_log(), CODES, OPTIONS, RunContext(CPU, tmp_path / "whole"))
    for epochs_before in (2, 5):  # of the four in each stage
        folder, remaining = tmp_path / str(epochs_before), iter(range(epochs_before))
        finish_epoch = Trainer.finish_epoch

        def finish_or_die(self: Trainer, finish: object = finish_epoch, remaining: object = remaining) -> None:
            if next(remaining, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            finish(self)  # type: ignore[operator]

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "finish_epoch", finish_or_die)
            with pytest.raises(KeyboardInterrupt):
                train_model(make_cyclic_log(), CODES, OPTIONS, RunContext(CPU, folder))
        resumed, curve, _ = train_model(make_cyclic_log(), CODES, OPTIONS, RunContext(CPU, folder, resume=True))
        assert len(curve) == 8
        assert have_same_weights(resumed, whole)


def test_both_stages_share_the_time_limit() -> None:
    options = TrainingOptions(max_minutes=10.0)
    assert options.to_first_stage().max_minutes == pytest.approx(7.0)
    assert options.to_second_stage().max_minutes == pytest.approx(3.0)
    assert TrainingOptions().to_second_stage().max_minutes is None
    assert TrainingOptions(epochs=28, schedule="linear").to_second_stage().epochs == 7
    assert TrainingOptions(epochs=28).to_second_stage().epochs == 28


def test_transfer_copies_the_encoder_weights(tmp_path: Path) -> None:
    model, _, _ = train_model(
        make_cyclic_log(), CODES, dataclasses.replace(OPTIONS, epochs=1), RunContext(CPU, tmp_path)
    )
    full, _, _ = train_model(
        make_cyclic_log(),
        dataclasses.replace(CODES, embedding=Part("full")),
        OPTIONS,
        RunContext(CPU, tmp_path / FULL_TABLE_FOLDER),
    )
    transfer_weights(model, full, make_cyclic_log().catalogue)
    assert all(torch.equal(a, b) for a, b in zip(model.encoder.parameters(), full.encoder.parameters(), strict=True))
