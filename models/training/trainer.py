"""The training loop: epochs, early stopping on validation NDCG@10, a time limit, and resuming from checkpoints.

All random choices of step s in epoch e derive from (seed, e, s), so runs are reproducible on one machine, and a resumed
run equals an uninterrupted one. Several ranks make the same run as one process, except for rounding and dropout: each
computes a share of every batch, and only the first rank reads clocks and files and broadcasts the result.
"""

import math
from dataclasses import asdict
from typing import cast

from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from models.data.dataset import Dataset
from models.data.sequences import TrainingBatches
from models.data.splits import select_training_histories, select_training_times, select_training_weights
from models.evaluation.evaluate import evaluate
from models.layers.fast_forms import use_fast_forms
from models.predictor import Predictor
from models.progress import Progress, print_line, progress
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner
from models.training.checkpoint import (
    Checkpoint,
    EpochRecord,
    LoopState,
    compute_fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from models.training.negatives import create_sampler
from models.training.options import RunContext, TrainingOptions
from models.training.step import BatchPlan, TrainingStep, create_optimizer, make_running_average

GOAL_METRIC = "ndcg@10"
MAX_UNVALIDATED_EPOCHS = 20
"""Most epochs where no user has the events for a validation."""


class Trainer:
    """Trains `model` in place; after `run` it has the weights of the best epoch, on every rank."""

    def __init__(
        self, model: SequentialRecommender, dataset: Dataset, options: TrainingOptions, context: RunContext
    ) -> None:
        self.model = model.to(context.device)
        self.dataset = dataset
        self.options = options
        self.context = context
        self.curve: list[EpochRecord] = []
        self.state = LoopState(learning_rate=options.learning_rate)
        self.batches = TrainingBatches(
            select_training_histories(dataset),
            max_len=model.config.max_len,
            batch_cells=options.batch_cells,
            seed=options.seed,
            times=select_training_times(dataset) if model.reads_times else None,
            weights=select_training_weights(dataset),
            last_only=not model.encoder.causal,
        )
        self._fingerprint = compute_fingerprint(model, dataset, options)
        context.ranks.assert_equal_across_ranks("data, model or options", f"{self._fingerprint} {options}")
        context.ranks.broadcast_(self.model.state_dict().values())
        self._optimizer = create_optimizer(model, options)
        if options.fused and context.device.type == "cpu":
            use_fast_forms(model)
        sampler = create_sampler(options, dataset.catalogue.counts, context.device)
        self.step = TrainingStep(model, self.batches, sampler, self._optimizer, context, clip_norm=options.clip_norm)
        # Validation, early stopping and the export use the running average of the weights.
        self._average = AveragedModel(self.model, multi_avg_fn=make_running_average(options.averaging))
        self._best: dict[str, Tensor] = {}
        self._validation_s = 0.0
        self._saved_at = self._timed_at = self.context.clock()

    def resume(self) -> bool:
        """Continue from the checkpoint of this run; return False if there is none."""
        checkpoint = load_checkpoint(self.context, self._fingerprint)
        if checkpoint is None:
            return False
        self.model.load_state_dict(checkpoint.model)
        self._average.load_state_dict(checkpoint.average)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self._best = checkpoint.best
        self.curve, self.state = checkpoint.curve, checkpoint.state
        return True

    def run(self) -> EpochRecord:
        """Train until patience, epochs or minutes are exhausted; return the record of the best epoch."""
        self._timed_at = self.context.clock()
        if self.options.keeps_start and not self.curve and not self.state.total_steps:
            self.state.epoch = 0
            self.finish_epoch()
        while not self._is_finished():
            self._train_epoch()
            if self._is_validation_due():
                self.finish_epoch()
            else:
                self.state.start_next_epoch()
        if not self.curve:  # the minutes ended within the first epoch
            self.finish_epoch()
        self.model.load_state_dict(self._best)
        return self.best_record

    @property
    def best_record(self) -> EpochRecord:
        """The epoch with the best validation; the last one where no user can be held out."""
        if math.isnan(self.curve[-1].ndcg):
            return self.curve[-1]
        return max(self.curve, key=lambda record: record.ndcg)

    @property
    def _averaged_model(self) -> SequentialRecommender:
        return cast("SequentialRecommender", self._average.module)

    def _is_finished(self) -> bool:
        epochs_since_best = self.curve[-1].epoch - self.best_record.epoch if self.curve else 0
        is_stalled = epochs_since_best >= self.options.patience and self.options.schedule == "plateau"
        return self.state.epoch > self._max_epochs or is_stalled or self._is_out_of_time()

    @property
    def _max_epochs(self) -> int:
        """Without validation nothing stops a training before it overfits."""
        is_validated = not self.curve or not math.isnan(self.curve[-1].ndcg)
        return self.options.epochs if is_validated else min(self.options.epochs, MAX_UNVALIDATED_EPOCHS)

    def _is_out_of_time(self) -> bool:
        """Whether only the time for one more validation is left."""
        limit = self.options.max_minutes
        return limit is not None and self.state.trained_s + self._validation_s >= 60 * limit

    def _is_validation_due(self) -> bool:
        epoch = self.state.epoch
        return epoch % self.options.validate_every == 0 or epoch >= self._max_epochs or self._is_out_of_time()

    def _train_epoch(self) -> None:
        self.model.train()
        state = self.state
        plans = self.batches.plan_epoch(state.epoch)
        with progress(f"epoch {state.epoch}", len(plans) - state.step, "batches") as bar:
            while state.step < len(plans) and not self._is_out_of_time():
                self._set_learning_rate(state.step / len(plans))
                self.train_step(plans[state.step])
                state.step += 1
                state.total_steps += 1
                elapsed_s = self._take_time()
                state.seconds += elapsed_s
                state.trained_s += elapsed_s
                self._show_progress(bar)
                if self._timed_at - self._saved_at > 60 * self.options.checkpoint_minutes:
                    self._save()

    def _take_time(self) -> float:
        """Return the seconds since the last call, so that no gap between steps is missed."""
        now = self.context.clock()
        elapsed_s, self._timed_at = now - self._timed_at, now
        if self.options.max_minutes is None:
            return elapsed_s
        return self.context.ranks.broadcast_object(elapsed_s)  # time decides: all ranks use the first one's clock

    def _set_learning_rate(self, epoch_fraction: float) -> None:
        factor = self.options.compute_rate_factor(self.state.epoch - 1 + epoch_fraction, self.state.trained_s)
        warmup = min(1.0, (self.state.total_steps + 1) / self.options.warmup_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self.state.learning_rate * factor * warmup

    def train_step(self, plan: BatchPlan) -> None:
        """Update the weights, and their running average, on one batch."""
        loss = self.step.run(plan, [self.options.seed, self.state.epoch, self.state.step])
        self._average.update_parameters(self.model)
        num_targets = self.batches.count_targets(plan)
        self.state.loss_sum += loss * num_targets
        self.state.num_targets += num_targets

    def _show_progress(self, bar: Progress) -> None:
        loss, speed = self.state.loss_sum / self.state.num_targets, self.state.num_targets / self.state.seconds
        is_validated = self.curve and not math.isnan(self.curve[-1].ndcg)
        best = f", best {GOAL_METRIC} {self.best_record.ndcg:.4f}" if is_validated else ""
        bar.advance(note=f"loss {loss:.3f}, {speed:,.0f} targets/s{best}")

    def finish_epoch(self) -> None:
        """Validate the averaged weights, record the epoch, save a checkpoint and move on to the next epoch."""
        record = self._evaluate_epoch()
        validation_s = self._take_time()
        if self.options.max_minutes is not None:
            self._validation_s = validation_s
            self.state.trained_s += validation_s
        self.step.assert_equal_weights()
        self.curve.append(record)
        label = f"epoch {record.epoch}: loss {record.loss:.3f}" if record.epoch else "before the epochs of this stage"
        goal = "not validated" if math.isnan(record.ndcg) else f"{GOAL_METRIC} {record.ndcg:.4f}"
        print_line(f"{label}, {goal}, {record.seconds:.0f} s")
        if self.best_record is record:
            weights = self._averaged_model.state_dict()
            self._best = {name: value.detach().cpu().clone() for name, value in weights.items()}
        elif self.options.schedule == "plateau" and (record.epoch - self.best_record.epoch) % self.options.plateau == 0:
            self.state.learning_rate /= 2
        self.state.start_next_epoch()
        self._save()

    def _evaluate_epoch(self) -> EpochRecord:
        metrics = evaluate(
            self._make_predictor(),
            self.dataset,
            "valid",
            keep_seen=self.options.keep_seen,
            limit=self.options.validation_cases,
            ranks=self.context.ranks,
        ).values
        record = EpochRecord(
            epoch=self.state.epoch,
            loss=self.state.loss_sum / max(1, self.state.num_targets),
            ndcg=metrics[GOAL_METRIC],
            hr=metrics["hr@10"],
            seconds=self.state.seconds,
            targets_per_s=self.state.num_targets / max(1e-9, self.state.seconds),
            learning_rate=self._optimizer.param_groups[0]["lr"],
        )
        return EpochRecord(**self.context.ranks.broadcast_object(asdict(record)))

    def _make_predictor(self) -> Predictor:
        """Native code is faster, but a run without a time limit must repeat earlier ones bit by bit."""
        device = self.context.device
        is_native = self.options.max_minutes is not None and device.type == "cpu"
        model = self._averaged_model.with_embedding(self._averaged_model.embedding.merge())
        return Predictor(model, device, choose_runner(model, device) if is_native else None)

    def _save(self) -> None:
        if not self.context.ranks.is_first:
            return
        checkpoint = Checkpoint(
            fingerprint=self._fingerprint,
            state=self.state,
            curve=self.curve,
            model=self.model.state_dict(),
            average=self._average.state_dict(),
            optimizer=self._optimizer.state_dict(),
            best=self._best,
        )
        save_checkpoint(self.context.folder, checkpoint)
        self._saved_at = self._timed_at
