"""Requests and responses of /experiments."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypeAliasType

from app.feedback.recommendation_ids import MAX_EXPERIMENT_CHARACTERS, MAX_VARIANT_CHARACTERS
from app.rules.settings import MAX_PLACEMENT
from app.rules.settings import NAME_PATTERN as PLACEMENT_PATTERN

MAX_VARIANTS = 4
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
VariantName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VARIANT_CHARACTERS, pattern=NAME_PATTERN)]
PlacementName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PLACEMENT, pattern=PLACEMENT_PATTERN)]
MAX_NAME = MAX_EXPERIMENT_CHARACTERS

MetricName = TypeAliasType("MetricName", Literal["clicks", "conversions"])
ExperimentPhase = TypeAliasType("ExperimentPhase", Literal["running", "concluded"])
MetricStatus = TypeAliasType("MetricStatus", Literal["too_little_data", "undecided", "decided"])
Verdict = TypeAliasType("Verdict", Literal["better", "worse", "undecided"])


class VariantRequest(BaseModel):
    """A share of the users, and the version that answers them."""

    model_config = ConfigDict(extra="forbid")

    name: VariantName = Field(description="letters a-z, digits, dot, dash and underscore")
    share: float = Field(
        gt=0, le=1, description="share of the users; the shares of all variants are at most 1 together"
    )
    version: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="version of GET /models that answers; null is the one that serves all other users",
    )
    placement: PlacementName | None = Field(
        default=None,
        description="placement whose settings replace those of the experiment's placement; null leaves them",
    )


_VARIANTS: list[dict[str, Any]] = [
    {"name": "control", "share": 0.5, "version": "20261127-101500-6d52cd50"},
    {"name": "new", "share": 0.5, "version": "20261128-101500-1b2c3d4e"},
]


_REQUEST: dict[str, Any] = {"variants": _VARIANTS}


class ExperimentRequest(BaseModel):
    """Two to four variants, the baseline first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_REQUEST]})

    placement: PlacementName | None = Field(
        default=None, description="only requests that name this placement are in the experiment; null is all requests"
    )
    variants: list[VariantRequest] = Field(min_length=2, max_length=MAX_VARIANTS)


class ConcludeRequest(BaseModel):
    """The variant to activate."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"winner": "new"}]})

    winner: VariantName | None = Field(
        default=None, description="variant to activate; null is the one that is better than all others by `metric`"
    )
    metric: MetricName = Field(default="clicks", description="only without `winner`")


class VariantState(BaseModel):
    """A variant, and whether its version can answer."""

    name: str
    share: float
    version: str | None = Field(default=None, description="null is the version that serves all other users")
    placement: str | None = Field(default=None, description="null leaves the settings of the experiment's placement")
    ready: bool = Field(description="whether the worker that answered has the version in memory")
    problem: str | None = Field(default=None, description="why not; the serving version answers meanwhile")


class ExperimentState(BaseModel):
    """An experiment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "home",
                    "phase": "running",
                    "started_at": "2026-11-28T10:15:00Z",
                    "variants": [{**variant, "ready": True} for variant in _VARIANTS],
                }
            ]
        }
    )

    name: str
    phase: ExperimentPhase
    started_at: datetime
    ended_at: datetime | None = None
    winner: str | None = Field(default=None, description="variant that was activated")
    placement: str | None = Field(default=None, description="only requests that name it are in the experiment")
    variants: list[VariantState]


class Experiments(BaseModel):
    """All experiments, the oldest first; at most one runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"experiments": []}]})

    experiments: list[ExperimentState]


class RateInterval(BaseModel):
    """A rate, or a difference of rates, with its 95 % confidence sequence, valid however often it is read."""

    value: float
    low: float
    high: float


class VariantFigures(BaseModel):
    """Answers of the variant's version that got feedback; each counts once per kind."""

    name: str
    answers_shown: int = Field(description="answers with at least one impression")
    answers_clicked: int
    answers_converted: int
    click_through: RateInterval | None = Field(default=None, description="clicked by shown; null with too little data")
    conversion: RateInterval | None = Field(default=None, description="converted by shown; null with too little data")


class RateDifference(BaseModel):
    """Rate of a variant minus that of another one."""

    variant: str
    baseline: str
    difference: RateInterval
    verdict: Verdict = Field(description="better or worse if the interval does not contain 0")


class MetricResult(BaseModel):
    """The variants by one metric."""

    status: MetricStatus
    best: str | None = Field(default=None, description="variant that is better than every other one")
    detail: str | None = Field(default=None, description="which data are missing")
    differences: list[RateDifference]


class ExperimentResults(ExperimentState):
    """An experiment, and what came of the answers of its variants."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "home",
                    "phase": "running",
                    "started_at": "2026-11-28T10:15:00Z",
                    "variants": [{**variant, "ready": True} for variant in _VARIANTS],
                    "figures": [
                        {"name": "control", "answers_shown": 120, "answers_clicked": 9, "answers_converted": 1}
                    ],
                    "clicks": {
                        "status": "too_little_data",
                        "detail": "variant control: 120 answers were shown, 400 are needed",
                        "differences": [],
                    },
                    "conversions": {"status": "too_little_data", "differences": []},
                }
            ]
        }
    )

    figures: list[VariantFigures]
    clicks: MetricResult
    conversions: MetricResult


class RemovedExperiment(BaseModel):
    """The experiment that was removed, with all that was counted of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "home"}]})

    name: str


def to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
