"""Values that options repeat, because their source loads torch, equal their source."""

from typing import Any, get_args

import pytest

from app.api_keys import SCOPES
from app.bench.serve.report import PEERS
from app.capacity import shapes
from app.capacity.histories import Allocator
from app.cli import arguments, split_options, type_options
from app.cli.options import Parameter, list_parameters
from app.commands.options import bench_baselines, bench_score, bench_serve, index, key, model, plan, train
from models.baselines.registry import BASELINES
from models.benchmarks.scoring import FORMS
from models.build import EMBEDDINGS, ENCODERS, HEADS
from models.data import fields
from models.data.event_types import OTHER
from models.data.time_split import SPLITS
from models.evaluation.baselines import MAX_USERS
from models.indexing import MIN_INDEX_ITEMS
from models.manifest import MAX_TYPES
from models.training.options import CLOCKS, LOSSES, Schedule, TrainingOptions


@pytest.mark.parametrize(
    ("values", "source"),
    [
        (model.EMBEDDING_NAMES, sorted(EMBEDDINGS)),
        (model.ENCODER_NAMES, sorted(ENCODERS)),
        (model.HEAD_NAMES, sorted(HEADS)),
        (split_options.SPLITS, SPLITS),
        ([type_options.MAX_TYPES, type_options.OTHER], [MAX_TYPES, OTHER]),
        (get_args(train.Loss), LOSSES),
        (get_args(train.Schedule), get_args(Schedule)),
        (get_args(train.Clock), CLOCKS),
        (get_args(key.Scope), SCOPES),
        (bench_serve.PEER_NAMES, PEERS),
        (bench_score.FORM_NAMES, FORMS),
        (bench_baselines.BASELINE_NAMES, BASELINES),
        ([bench_baselines.MAX_BASELINE_USERS], [MAX_USERS]),
        ([index.MIN_INDEX_ITEMS], [MIN_INDEX_ITEMS]),
        ([arguments.MAX_ID_CHARS], [fields.MAX_ID_CHARS]),
        ([plan.MIN_ITEMS, plan.MAX_ITEMS], [shapes.MIN_ITEMS, shapes.MAX_ITEMS]),
    ],
)
def test_values_equal_their_source(values: Any, source: Any) -> None:
    assert list(values) == list(source)


def find_parameters(options: Any) -> dict[str, Parameter]:
    return {each.field_name: each for each in list_parameters(options)}


def test_allocators_equal_their_source() -> None:
    assert find_parameters(plan.PlanOptions)["redis"].spec.choices == get_args(Allocator)


def test_defaults_of_a_training_equal_their_source() -> None:
    parameters, defaults = find_parameters(train.TrainOptions), TrainingOptions()
    for name in ("patience", "seed", "loss", "calibration", "keep_seen", "max_minutes"):
        assert parameters[name].default == getattr(defaults, name)
    for name in ("epochs", "schedule", "learning_rate", "batch_cells"):
        assert parameters[name].spec.default == f"{getattr(defaults, name)}, or measured with --max-minutes"
