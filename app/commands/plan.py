"""`nextup plan`: estimate disk, memory, Redis and workers of a service before anything is trained or started."""

import argparse
import dataclasses
import json

from app.capacity.artifact_files import ItemText, estimate_artifact_files
from app.capacity.base_memory import measure_base_memory
from app.capacity.histories import ALLOCATORS, estimate_histories
from app.capacity.memory import estimate_device_memory, estimate_worker_memory
from app.capacity.rate import NotMeasured, RateEstimate, estimate_rate
from app.capacity.report import CapacityPlan
from app.capacity.shapes import MAX_ITEMS, MIN_ITEMS, ModelShape, compute_shape
from app.cli.arguments import count_in, float_in, int_in
from app.settings import Settings
from models.config import MAX_TRANSITIONS
from models.presets import preset

MAX_USERS = 10_000_000_000
MAX_LENGTH = 1_000_000
MAX_WORKERS = 4096
MAX_TEXT_BYTES = 4096
MAX_CATEGORIES = 1000
MIN_RATE, MAX_RATE = 0.01, 1e8
NOT_MEASURED_ON_CUDA = (
    "memory of CUDA itself on the device and in the process, and the scorer that a GPU would select with its tables; "
    "process memory is estimated as on a CPU"
)


def configure(parser: argparse.ArgumentParser) -> None:
    text_bytes, optional_bytes = float_in(1, MAX_TEXT_BYTES), float_in(0, MAX_TEXT_BYTES)
    parser.add_argument(
        "--items", type=count_in(MIN_ITEMS, MAX_ITEMS), required=True, metavar="N", help="catalogue size, such as 10M"
    )
    parser.add_argument(
        "--users", type=count_in(1, MAX_USERS), default="1M", metavar="N", help="users with a history (1M)"
    )
    parser.add_argument(
        "--length", type=count_in(1, MAX_LENGTH), default="200", metavar="N", help="mean events per history (200)"
    )
    parser.add_argument("--preset", default="blossom", help="preset whose sizes the model has (blossom)")
    parser.add_argument(
        "--transitions",
        type=int_in(0, MAX_TRANSITIONS),
        default=0,
        metavar="N",
        help="followers per item of a transition memory (0)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="device of the model (cpu)")
    parser.add_argument(
        "--workers", type=int_in(1, MAX_WORKERS), metavar="N", help="HTTP processes (as --rate requires, else 1)"
    )
    parser.add_argument(
        "--rate", type=float_in(MIN_RATE, MAX_RATE), metavar="RPS", help="requests per second, to estimate workers"
    )
    parser.add_argument("--index", action="store_true", help="with an ANN index (`nextup index`)")
    parser.add_argument(
        "--id-bytes", type=text_bytes, metavar="B", help="mean bytes of an item id (a letter and a number up to N)"
    )
    parser.add_argument(
        "--user-id-bytes",
        type=text_bytes,
        metavar="B",
        help="mean bytes of a user id (a letter and a number up to --users)",
    )
    parser.add_argument(
        "--title-bytes", type=optional_bytes, default=0.0, metavar="B", help="mean bytes of an item title (0)"
    )
    parser.add_argument(
        "--categories", type=float_in(0, MAX_CATEGORIES), default=0.0, metavar="N", help="categories per item (0)"
    )
    parser.add_argument(
        "--event-bytes",
        type=optional_bytes,
        default=0.0,
        metavar="B",
        help="mean bytes of an event's type and recommendation id (0)",
    )
    parser.add_argument(
        "--redis", choices=tuple(ALLOCATORS), default="server", help="kind of Redis, for its allocator (server)"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.index and arguments.device == "cuda":
        raise ValueError("--index requires --device cpu; a GPU scores all items")
    plan = _make_plan(arguments)
    print(plan.format_table())
    print(json.dumps(plan.to_dict()))
    return 0


def _make_plan(arguments: argparse.Namespace) -> CapacityPlan:
    config = dataclasses.replace(preset(arguments.preset), transitions=arguments.transitions)
    shape = compute_shape(config, arguments.items)
    text = ItemText.from_count(arguments.items, arguments.title_bytes, arguments.categories)
    if arguments.id_bytes is not None:
        text = ItemText(arguments.id_bytes, arguments.title_bytes, arguments.categories)
    user_bytes = arguments.user_id_bytes
    if user_bytes is None:
        user_bytes = ItemText.from_count(arguments.users).id_bytes
    histories = estimate_histories(
        arguments.users,
        arguments.length,
        id_bytes=text.id_bytes,
        user_bytes=user_bytes,
        max_events=Settings().history_max_events,
        extra_bytes=arguments.event_bytes,
        allocator=arguments.redis,
    )
    files = estimate_artifact_files(shape, text, index=arguments.index)
    rate, not_measured = _estimate_rate(arguments, shape)
    base = measure_base_memory()
    on_gpu = arguments.device == "cuda"
    return CapacityPlan(
        inputs={
            **{name: getattr(arguments, name) for name in ("items", "users", "length", "preset", "device")},
            "index": arguments.index,
            "redis": arguments.redis,
            "id_bytes": round(text.id_bytes, 2),
            "user_id_bytes": round(user_bytes, 2),
        },
        files=files,
        worker=estimate_worker_memory(shape, text, base.resident, index=arguments.index),
        workers=arguments.workers or (rate.workers if rate else 1),
        histories=histories,
        device=estimate_device_memory(shape) if on_gpu else None,
        rate=rate,
        base_is_measured=base.is_measured,
        not_measured=[*not_measured, *([NOT_MEASURED_ON_CUDA] if on_gpu else [])],
    )


def _estimate_rate(arguments: argparse.Namespace, shape: ModelShape) -> tuple[RateEstimate | None, list[str]]:
    """Return the estimate and nothing missing, or None and the reason."""
    if arguments.rate is None:
        return None, []
    try:
        return estimate_rate(shape, arguments.rate, arguments.length, arguments.device, index=arguments.index), []
    except NotMeasured as error:
        return None, [str(error)]
