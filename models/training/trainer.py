"""The training loop: epochs, early stopping on validation NDCG@10, a time limit, and going on after a kill.

Every random choice of step s of epoch e comes from (seed, e, s), so a run repeats on one machine, and a resumed run is
the run that was not interrupted. Several ranks make the same run as one, but for rounding and dropout: each computes a
share of every batch, and what a clock or a file says is what it says to the first rank. It knows nothing of the model's
parts.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from models.data.dataset import Dataset
from models.data.sequences import TrainingBatches
from models.data.splits import select_training_histories, select_training_times
from models.evaluation.evaluate import evaluate
from models.predictor import Predictor
from models.progress import Progress, print_line, progress
from models.ranks import SINGLE_PROCESS, Ranks
from models.recommender import SequentialRecommender
from models.training.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from models.training.negatives import create_sampler
from models.training.optimiser import create_optimizer, running_average
from models.training.options import TrainingOptions
from models.training.step import BatchPlan, TrainingStep

GOAL_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """`loss` is the mean over targets; `seconds` without evaluation."""

    epoch: int
    loss: float
    ndcg: float
    hr: float
    seconds: float
    targets_per_s: float
    learning_rate: float


class Trainer:
    """Trains `model` in place; after `run` it holds the weights of the best epoch, on every rank."""

    def __init__(
        self,
        model: SequentialRecommender,
        dataset: Dataset,
        options: TrainingOptions,
        device: torch.device,
        folder: Path,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.model = model.to(device)
        self.dataset = dataset
        self.options = options
        self.device = device
        self.folder = folder
        self.ranks = ranks
        self.curve: list[EpochRecord] = []
        self._batches = TrainingBatches(
            select_training_histories(dataset),
            max_len=model.config.max_len,
            batch_cells=options.batch_cells,
            seed=options.seed,
            times=select_training_times(dataset) if model.reads_times else None,
        )
        self._fingerprint = fingerprint(model, dataset, options)
        ranks.assert_equal_across_ranks("data, model or options", f"{self._fingerprint} {options}")
        ranks.broadcast_(self.model.state_dict().values())
        self._optimiser = create_optimizer(model, options)
        sampler = create_sampler(options, dataset.catalogue.counts, device)
        self._take_step = TrainingStep(
            model, self._batches, sampler, self._optimiser, device, clip_norm=options.clip_norm, ranks=ranks
        )
        # Validation, early stopping and the export look at the running average of the weights.
        self._average = AveragedModel(self.model, avg_fn=running_average(options.averaging))
        self._epoch, self._step, self._steps = 1, 0, 0  # epochs from 1; steps within the epoch, and of all
        self._loss_sum, self._targets, self._seconds = 0.0, 0, 0.0  # of the epoch so far
        self._rate = options.learning_rate
        self._best: dict[str, Tensor] = {}
        self._trained_s = 0.0
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Go on from the checkpoint of this very run; False where there is none."""
        state = load_checkpoint(self.folder, self._fingerprint, self.ranks)
        if state is None:
            return False
        self.model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best = state["best"]
        self.curve = [EpochRecord(**record) for record in state["curve"]]
        for name, value in state["position"].items():
            setattr(self, name, value)
        return True

    def run(self) -> EpochRecord:
        """Train until the patience, the epochs or the minutes are used up; the record of the best epoch."""
        while not self._finished():
            self._train_epoch()
            self._finish_epoch()
        if not self.curve:  # the minutes ended within the first epoch
            self._finish_epoch()
        self.model.load_state_dict(self._best)
        return self.best_record

    @property
    def _averaged(self) -> SequentialRecommender:
        return cast("SequentialRecommender", self._average.module)

    @property
    def best_record(self) -> EpochRecord:
        return max(self.curve, key=lambda record: record.ndcg)

    def _finished(self) -> bool:
        waited = len(self.curve) - self.best_record.epoch if self.curve else 0
        gave_up = waited >= self.options.patience and self.options.schedule == "plateau"
        return self._epoch > self.options.epochs or gave_up or self._out_of_time()

    def _out_of_time(self) -> bool:
        limit = self.options.max_minutes
        return limit is not None and self._trained_s >= 60 * limit

    def _train_epoch(self) -> None:
        self.model.train()
        plans = self._batches.epoch(self._epoch)
        with progress(f"epoch {self._epoch}", len(plans) - self._step, "batches") as shown:
            while self._step < len(plans) and not self._out_of_time():
                began = time.monotonic()
                self._set_rate(self._step / len(plans))
                self._train_step(plans[self._step])
                self._step += 1
                self._steps += 1
                took = time.monotonic() - began
                if self.options.max_minutes is not None:  # then time decides, and it is the first rank's
                    took = self.ranks.broadcast_object(took)
                self._seconds += took
                self._trained_s += took
                self._show(shown)
                if time.monotonic() - self._saved_at > 60 * self.options.checkpoint_minutes:
                    self._save()

    def _set_rate(self, part_of_epoch: float) -> None:
        left = self.options.compute_rate_factor(self._epoch - 1 + part_of_epoch, self._trained_s)
        warm = min(1.0, (self._steps + 1) / self.options.warmup_steps)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * left * warm

    def _train_step(self, plan: BatchPlan) -> None:
        loss = self._take_step.take(plan, [self.options.seed, self._epoch, self._step])
        self._average.update_parameters(self.model)
        targets = self._batches.num_targets(plan)
        self._loss_sum += loss * targets
        self._targets += targets

    def _show(self, shown: Progress) -> None:
        loss, speed = self._loss_sum / self._targets, self._targets / self._seconds
        best = f", best {GOAL_METRIC} {self.best_record.ndcg:.4f}" if self.curve else ""
        shown.advance(note=f"loss {loss:.3f}, {speed:,.0f} targets/s{best}")

    def _finish_epoch(self) -> None:
        predictor = Predictor(self._averaged, self.device)
        keep_seen, limit = self.options.keep_seen, self.options.validation_cases
        found = evaluate(predictor, self.dataset, "valid", keep_seen=keep_seen, limit=limit, ranks=self.ranks).values
        record = EpochRecord(
            epoch=self._epoch,
            loss=self._loss_sum / max(1, self._targets),
            ndcg=found[GOAL_METRIC],
            hr=found["hr@10"],
            seconds=self._seconds,
            targets_per_s=self._targets / max(1e-9, self._seconds),
            learning_rate=self._optimiser.param_groups[0]["lr"],
        )
        record = EpochRecord(**self.ranks.broadcast_object(asdict(record)))
        self._take_step.assert_equal_weights()
        self.curve.append(record)
        print_line(
            f"epoch {record.epoch}: loss {record.loss:.3f}, {GOAL_METRIC} {record.ndcg:.4f}, {record.seconds:.0f} s"
        )
        if self.best_record is record:
            self._best = {name: value.detach().cpu().clone() for name, value in self._averaged.state_dict().items()}
        elif self.options.schedule == "plateau" and (record.epoch - self.best_record.epoch) % self.options.plateau == 0:
            self._rate /= 2
        self._epoch, self._step = self._epoch + 1, 0
        self._loss_sum, self._targets, self._seconds = 0.0, 0, 0.0
        self._save()

    def _save(self) -> None:
        if not self.ranks.is_first:
            return
        names = ("_epoch", "_step", "_steps", "_loss_sum", "_targets", "_seconds", "_rate", "_trained_s")
        state = {
            "fingerprint": self._fingerprint,
            "model": self.model.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": self._best,
            "curve": [asdict(record) for record in self.curve],
            "position": {name: getattr(self, name) for name in names},
        }
        save_checkpoint(self.folder, state)
        self._saved_at = time.monotonic()
