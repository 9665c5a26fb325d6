"""Training in two stages: first a full table, then codes, blocks or sums of rows."""

import dataclasses
from pathlib import Path

import pytest
import torch

from models.build import build_model
from models.config import ModelConfig, Part
from models.data.splits import select_training_histories
from models.runners.choice import choose_runner
from models.training.options import MIN_STAGE_MINUTES, RunContext, TrainingOptions
from models.training.stages import FULL_TABLE_FOLDER, refine_embedding, train_model, transfer_weights
from models.training.trainer import Trainer
from service_tests.models.training.test_trainer import CPU, OPTIONS, have_same_weights, make_cyclic_log

pytestmark = pytest.mark.slow

CODES = ModelConfig(
    Part("codes", {"splits": 8, "codebook": 16}), Part("self_attention"), Part("tied"), dim=16, max_len=20, dropout=0.1
)
BLOCKS = dataclasses.replace(CODES, embedding=Part("blocks", {"factors": "trained", "ranks": [0.75, 0.5]}))
ROWS = dataclasses.replace(CODES, embedding=Part("compositional", {"assignment": "trained", "context_dim": 4}))


@pytest.mark.parametrize(
    ("config", "stored"),
    [(CODES, "kept"), (BLOCKS, "vectors.2.rounded"), (ROWS, "codes")],
    ids=["codes", "blocks", "rows"],
)
def test_second_stage_starts_from_the_first(config: ModelConfig, stored: str, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=12)
    model, curve, best = train_model(make_cyclic_log(), config, options, RunContext(CPU, tmp_path))
    assert best is not None
    assert [record.epoch for record in curve] == list(range(1, len(curve) + 1))
    assert len(curve) == 12 + 3
    first, second = curve[:12], curve[12:]
    assert best.ndcg >= max(record.ndcg for record in second), "the start is kept unless an epoch is better"
    assert max(r.ndcg for r in second) > 0.8 * max(r.ndcg for r in first)
    assert second[0].loss < first[0].loss, "the second stage does not start from scratch"
    assert model.embedding.state_dict()[stored].element_size() == 1


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
        assert len(curve) == 7
        assert have_same_weights(resumed, whole)


def test_both_stages_share_the_time_limit() -> None:
    options = TrainingOptions(max_minutes=10.0)
    assert options.to_first_stage().max_minutes == pytest.approx(9.0)
    assert options.to_first_stage(reserved_s=120).max_minutes == pytest.approx(8.0)
    assert options.to_first_stage(reserved_s=1000).max_minutes == pytest.approx(MIN_STAGE_MINUTES)
    assert options.to_second_stage().max_minutes == pytest.approx(1.0)
    assert options.to_second_stage(spent_s=9.5 * 60).max_minutes == pytest.approx(0.5)
    assert TrainingOptions().to_second_stage().max_minutes is None


def test_second_stage_is_short_and_gentle() -> None:
    second = TrainingOptions(learning_rate=1e-3).to_second_stage()
    assert (second.epochs, second.schedule) == (3, "linear")
    assert second.learning_rate == pytest.approx(1e-4)
    assert TrainingOptions(learning_rate=1e-3, second_stage_rate=0.4).to_second_stage().learning_rate == 4e-4
    assert TrainingOptions(epochs=1).to_second_stage().epochs == 1


def test_second_stage_that_unlearns_returns_its_start(tmp_path: Path) -> None:
    """Training at an absurd rate makes every epoch worse than the quantized model."""
    options = dataclasses.replace(OPTIONS, epochs=12)
    log = make_cyclic_log()
    first, _, _ = train_model(log, CODES, options, RunContext(CPU, tmp_path / "usual"))
    torch.manual_seed(1)
    trainer = Trainer(
        first,
        log,
        dataclasses.replace(options, epochs=2, learning_rate=3.0, keeps_start=True),
        RunContext(CPU, tmp_path),
    )
    start = {name: weight.clone() for name, weight in first.state_dict().items()}
    best = trainer.run()
    assert [record.epoch for record in trainer.curve] == [0, 1, 2]
    assert best.epoch == 0
    assert all(torch.equal(weight, start[name]) for name, weight in first.state_dict().items())


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


def test_refined_codes_score_like_the_full_table_they_come_from(tmp_path: Path) -> None:
    data = make_cyclic_log()
    config = dataclasses.replace(CODES, embedding=Part("codes", {"splits": 8, "codebook": 8}))
    full, _, _ = train_model(
        data, dataclasses.replace(CODES, embedding=Part("full")), OPTIONS, RunContext(CPU, tmp_path)
    )
    model = build_model(config, data.catalogue.num_items)
    transfer_weights(model, full, data.catalogue)
    hidden = choose_runner(full.eval(), CPU).encode(select_training_histories(data)).hidden

    @torch.no_grad()
    def measure_error() -> float:
        return float((model.scores(hidden) - full.scores(hidden))[:, 1:].square().mean())

    before = measure_error()
    refine_embedding(model, full, data)
    assert measure_error() < 0.9 * before
