"""The scaling benchmark: the service on synthetic catalogues of growing size, each step at its own request rate.

Sizes, rates and the target of 50 ms at p90 are those of ETUDE, a published benchmark of recommender services.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl

from app.bench.load.profile import LoadProfile
from app.bench.load.requests import build_read_bodies, sample_by_weight
from app.bench.processes import LOOPBACK
from app.bench.resources import ProcessMemory, read_memory
from app.bench.serve.recall import compute_recall, fetch_answers
from app.bench.serve.report import ServerSummary, summarize_rounds
from app.bench.serve.rounds import run_round
from app.bench.serve.servers import run_service
from app.bench.serve.workload import open_benchmark_store, read_histories
from app.cli.arguments import InvalidText, parse_count
from app.settings import Settings
from models.artifact import load_artifact
from models.benchmarks.synthetic_artifact import (
    generate_events,
    make_log_config,
    make_synthetic_artifact,
    make_synthetic_index,
)
from models.indexing import MIN_INDEX_ITEMS, drop_index
from models.scorers.ann.ivf import has_faiss
from models.text_table import format_megabytes, format_number, format_text_table, round_optional

MAX_P90_MS = 50.0
MIN_RECALL = 0.99
MIN_MODEL_SHARE = 0.99
"""Minimum share of responses from the model: a service that falls back to popularity has not sustained the rate."""
MIN_ITEMS, MAX_ITEMS = 40, 100_000_000
MAX_RATE = 100_000
K = 10
NUM_BODIES = 20_000
CONNECTIONS = 128
TIMEOUT_S = 10.0
WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class ScaleStep:
    items: int
    rate: float
    """Requests per second."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `ITEMS@RATE`, such as `10k@100`; InvalidText for anything else."""
        size, _, rate = text.strip().lower().partition("@")
        try:
            step = cls(parse_count(size), float(rate))
        except ValueError:
            raise InvalidText(f"must be ITEMS@RATE, such as 100k@250 (got {text!r})") from None
        if not MIN_ITEMS <= step.items <= MAX_ITEMS or not 0 < step.rate <= MAX_RATE:
            raise InvalidText(
                f"must have {MIN_ITEMS} to {MAX_ITEMS:,} items and a rate of at most {MAX_RATE:,} (got {text!r})"
            )
        return step


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """Options that all steps share."""

    preset: str
    seconds: float
    users: int
    recall_sample: int
    """Histories whose recall is measured; 0 skips it."""
    use_index: bool
    out: Path
    seed: int


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """Measurements of one step; memory is that of the service's processes together, before and after the load."""

    step: ScaleStep
    summary: ServerSummary
    memory_before: ProcessMemory | None
    memory: ProcessMemory | None
    artifact_bytes: int
    start_s: float
    recall: float | None
    index: dict[str, Any] | None = None
    """Description of the index; None for exact search."""
    index_s: float | None = None
    """Time to build the index; almost zero if it existed."""

    @property
    def failure_reasons(self) -> list[str]:
        """Reasons why the step failed; empty if it passed."""
        reasons = []
        p90_ms = self.summary.percentiles_ms[90]
        if p90_ms is None:
            reasons.append("no responses")
        elif p90_ms > MAX_P90_MS:
            reasons.append(f"p90 of {p90_ms:,.1f} ms is above {MAX_P90_MS:.0f} ms")
        if self.summary.error_count:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.summary.errors.items()))
            reasons.append(f"errors: {kinds}")
        model_share = self.summary.served_by.get("model", 0.0)
        if p90_ms is not None and model_share < MIN_MODEL_SHARE:
            reasons.append(f"only {model_share:.1%} served by the model")
        if self.recall is not None and self.recall < MIN_RECALL:
            reasons.append(f"recall@10 of {self.recall:.3f} is below {MIN_RECALL}")
        return reasons

    def to_dict(self) -> dict[str, Any]:
        return {
            "items": self.step.items,
            "rate": self.step.rate,
            "rps": round(self.summary.rps, 1),
            **{f"p{q}_ms": round_optional(value, 2) for q, value in self.summary.percentiles_ms.items()},
            "max_ms": round_optional(self.summary.max_ms, 2),
            "errors": self.summary.errors,
            "served_by": self.summary.served_by,
            "memory_loaded": asdict(self.memory_before) if self.memory_before else None,
            "memory": asdict(self.memory) if self.memory else None,
            "artifact_bytes": self.artifact_bytes,
            "start_s": round(self.start_s, 2),
            "recall@10": round_optional(self.recall, 4),
            "index": self.index,
            "index_s": round_optional(self.index_s, 1),
            "missed": self.failure_reasons,
            "passed": not self.failure_reasons,
        }


def run_step(step: ScaleStep, options: ScaleOptions, settings: Settings) -> ScaleResult:
    """Create the artifact and its histories, then measure the service under the step's rate."""
    folder = make_synthetic_artifact(options.out, options.preset, step.items, seed=options.seed)
    events = generate_events(make_log_config(step.items, users=options.users, seed=options.seed))
    # Sampling from events picks users in proportion to their number of events.
    users = sample_by_weight(events["user_id"].to_list(), None, NUM_BODIES, options.seed)
    started_at = time.monotonic()
    index = _prepare_index(folder, step, events, use_index=options.use_index)
    index_s = time.monotonic() - started_at
    # Events of a temporary store must not enter the archive of this machine.
    settings = settings.model_copy(update={"artifact": folder, "archive": "off"})
    with open_benchmark_store(events, settings) as url:
        with run_service(settings, url) as service:
            memory_before = read_memory(service.process.pid)
            finished = run_round(service.target, _build_step_profile(step, options, users))
            memory = read_memory(service.process.pid)
            answers = fetch_answers(service.target, users[: options.recall_sample], K)
        recall = None
        if answers:
            histories = asyncio.run(read_histories(url, settings, list(answers)))
            recall = compute_recall(load_artifact(folder, device="cpu"), answers, histories)
    return ScaleResult(
        step=step,
        summary=summarize_rounds("recommend", [finished]),
        memory_before=memory_before,
        memory=memory,
        artifact_bytes=sum(file.stat().st_size for file in folder.iterdir()),
        start_s=service.start_s,
        recall=recall,
        index=index,
        index_s=index_s if index else None,
    )


def format_scaling_table(results: Sequence[ScaleResult]) -> str:
    return format_text_table(*make_scaling_table(results))


def make_scaling_table(results: Sequence[ScaleResult]) -> tuple[list[str], list[list[str]]]:
    """Make head and rows of the table for people."""
    head = ["items", "offered/s", "served/s", "p50 ms", "p90 ms", "p99 ms", "errors"]
    head += ["PSS MB", "USS MB", "disk MB", "start s", "recall@10", ""]
    rows = [
        [
            f"{result.step.items:,}",
            f"{result.step.rate:,.0f}",
            f"{result.summary.rps:,.1f}",
            *(format_number(value) for value in result.summary.percentiles_ms.values()),
            f"{result.summary.error_count:,}",
            format_megabytes(result.memory.pss if result.memory else None),
            format_megabytes(result.memory.uss if result.memory else None),
            format_megabytes(result.artifact_bytes),
            format_number(result.start_s),
            format_number(result.recall, 3),
            "failed" if result.failure_reasons else "passed",
        ]
        for result in results
    ]
    return head, rows


def _prepare_index(folder: Path, step: ScaleStep, events: pl.DataFrame, *, use_index: bool) -> dict[str, Any] | None:
    if not use_index:
        drop_index(folder)
        return None
    return make_synthetic_index(folder, events) if step.items >= MIN_INDEX_ITEMS and has_faiss() else None


def _build_step_profile(step: ScaleStep, options: ScaleOptions, users: Sequence[str]) -> LoadProfile:
    return LoadProfile(
        host=LOOPBACK,
        port=0,
        path="",
        bodies=build_read_bodies(users, K),
        connections=CONNECTIONS,
        warm_up_s=min(WARM_UP_S, options.seconds),
        seconds=options.seconds,
        timeout_s=TIMEOUT_S,
        rate=step.rate,
        seed=options.seed,
    )
