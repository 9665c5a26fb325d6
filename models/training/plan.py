"""The plan of a run with a time limit: how the time is divided, and the options that the measurements chose."""

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

from models.evaluation.speed import EvaluationSpeed
from models.training.choices import PLANNABLE
from models.training.options import RunContext, TrainingOptions
from models.training.step_cost import StepCost

PLAN_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """`options` are those to train with; their `max_minutes` are the time for training only, of all stages.

    `choices` are the fields of the options that the plan set; `expected_epochs` those of the first stage. Without a
    limit the other fields are empty.
    """

    options: TrainingOptions
    choices: dict[str, Any]
    threads: int
    num_items: int
    limit_s: float | None = None
    spent_s: float = 0.0
    evaluation_s: float = 0.0
    export_s: float = 0.0
    evaluation: EvaluationSpeed | None = None
    cost: StepCost | None = None
    expected_epochs: float | None = None

    @property
    def training_s(self) -> float:
        return 60 * (self.options.max_minutes or 0.0)

    @property
    def targets_per_s(self) -> float | None:
        """The expected speed of the first stage."""
        if self.cost is None:
            return None
        candidates = self.options.resolve_num_negatives(self.num_items) or self.num_items
        return self.cost.estimate_targets_per_s(self.options.batch_cells, candidates)

    def to_json(self) -> dict[str, Any] | None:
        """For the result of the command; None without a limit."""
        if self.limit_s is None:
            return None
        return {
            "limit_s": self.limit_s,
            "spent_s": round(self.spent_s, 1),
            "training_s": round(self.training_s, 1),
            "evaluation_s": round(self.evaluation_s, 1),
            "export_s": round(self.export_s, 1),
            "threads": self.threads,
            "choices": self.choices,
            "epochs": None if self.expected_epochs is None else round(self.expected_epochs, 1),
            "targets_per_s": None if self.targets_per_s is None else round(self.targets_per_s),
            "evaluation_cases_per_s": None if self.evaluation is None else round(self.evaluation.cases_per_s),
            "repeatable": False,
        }

    def format_lines(self) -> list[str]:
        """Format the plan for people; empty without a limit."""
        if self.limit_s is None:
            return []
        ends_at = time.strftime("%H:%M:%S", time.localtime(time.time() + self.limit_s - self.spent_s))
        lines = [
            f"plan for {self.limit_s:,.0f} s: {self.spent_s:,.0f} s used, {self.training_s:,.0f} s of training, "
            f"{self.evaluation_s:,.0f} s of evaluation, {self.export_s:,.0f} s to write the artifact; ends by {ends_at}"
        ]
        if self.targets_per_s is not None:
            negatives = self.options.resolve_num_negatives(self.num_items)
            loss = "full softmax" if negatives is None else f"{negatives:,} negatives"
            lines.append(
                f"{loss}, batches of {self.options.batch_cells:,} cells, {self.options.schedule} schedule from rate "
                f"{self.options.learning_rate:g}, {self.targets_per_s:,.0f} targets/s with {self.threads} threads: "
                f"about {self.expected_epochs or 0:,.1f} epochs"
            )
        return [*lines, "runs that are limited by time are not repeatable to the last digit"]


def apply_choices(options: TrainingOptions, choices: dict[str, Any], context: RunContext) -> TrainingOptions:
    """Set the choices, except options that this invocation does not leave to the plan."""
    fields = {name: value for name, value in choices.items() if name not in PLANNABLE or name in context.planned}
    return dataclasses.replace(options, **fields)


def save_choices(context: RunContext, choices: dict[str, Any]) -> None:
    """Store the choices for a run that resumes this one."""
    if context.ranks.is_first:
        context.folder.mkdir(parents=True, exist_ok=True)
        (context.folder / PLAN_FILE).write_text(json.dumps(choices) + "\n")


def load_choices(context: RunContext) -> dict[str, Any]:
    """Load the choices of the run that is resumed, on every rank; empty if there is none."""
    path = context.folder / PLAN_FILE
    text = path.read_text() if context.resume and context.ranks.is_first and path.exists() else "{}"
    choices: dict[str, Any] = json.loads(context.ranks.broadcast_object(text))
    return choices
