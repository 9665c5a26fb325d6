"""`nextup plan`: what a service of a given size will take, before anything is trained or started.

Knows the options. The forecast is put together from `app/planning`.
"""

import argparse
import json
import math

from app.capacity.artifact_files import ItemText, artifact_files
from app.capacity.base_memory import measure_base_memory
from app.capacity.histories import ALLOCATORS, estimate_histories
from app.capacity.memory import estimate_device_memory, estimate_worker_memory
from app.capacity.rate import NotMeasured, RateEstimate, estimate_rate
from app.capacity.report import CapacityPlan
from app.capacity.shapes import MAX_ITEMS, MIN_ITEMS, ModelShape, compute_shape
from app.cli.counts import asked_count
from app.settings import Settings
from models.presets import preset

MOST_USERS = 10_000_000_000
MOST_WORKERS = 4096
NOT_ON_CUDA = (
    "what CUDA itself takes on the device and in the process, which scorer a GPU would choose and what it would keep; "
    "memory of the process is told as on a CPU"
)
LARGEST_TEXT = 4096  # bytes


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", required=True, metavar="N", help="of the catalogue, such as 10M")
    parser.add_argument("--users", default="1M", metavar="N", help="with a history (1M)")
    parser.add_argument("--length", default="200", metavar="N", help="events of a history, on average (200)")
    parser.add_argument("--preset", default="blossom", help="whose sizes the model has (blossom)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the model runs (cpu)")
    parser.add_argument("--workers", type=int, metavar="N", help="HTTP processes (as the rate needs, else 1)")
    parser.add_argument("--rate", type=float, metavar="RPS", help="requests per second, for the workers they need")
    parser.add_argument("--index", action="store_true", help="with an index for approximate answers (`nextup index`)")
    parser.add_argument("--id-bytes", type=float, metavar="B", help="of an item id (numbers up to N, and a letter)")
    parser.add_argument("--user-id-bytes", type=float, metavar="B", help="of a user id (likewise)")
    parser.add_argument("--title-bytes", type=float, default=0.0, metavar="B", help="of a title (0)")
    parser.add_argument("--categories", type=float, default=0.0, metavar="N", help="that an item has (0)")
    parser.add_argument("--event-bytes", type=float, default=0.0, metavar="B", help="of type and recommendation id (0)")
    parser.add_argument("--redis", choices=tuple(ALLOCATORS), default="server", help="whose memory (server)")


def run(arguments: argparse.Namespace) -> int:
    found = _forecast(arguments)
    print(found.table())
    print(json.dumps(found.figures()))
    return 0


def _forecast(arguments: argparse.Namespace) -> CapacityPlan:
    items = asked_count("items", arguments.items, MIN_ITEMS, MAX_ITEMS)
    users = asked_count("users", arguments.users, 1, MOST_USERS)
    length = asked_count("length", arguments.length, 1, 1_000_000)
    _check(arguments)
    shape = compute_shape(preset(arguments.preset), items)
    text = ItemText.from_count(items, arguments.title_bytes, arguments.categories)
    if arguments.id_bytes is not None:
        text = ItemText(arguments.id_bytes, arguments.title_bytes, arguments.categories)
    user_bytes = ItemText.from_count(users).id_bytes if arguments.user_id_bytes is None else arguments.user_id_bytes
    histories = estimate_histories(
        users,
        length,
        id_bytes=text.id_bytes,
        user_bytes=user_bytes,
        max_events=Settings().history_max_events,
        more=arguments.event_bytes,
        allocator=arguments.redis,
    )
    files = artifact_files(shape, text, index=arguments.index)
    rate, missing = _rate(arguments, shape, length)
    base = measure_base_memory()
    on_gpu = arguments.device == "cuda"
    return CapacityPlan(
        asked={
            "items": items,
            "users": users,
            "length": length,
            **{name: getattr(arguments, name) for name in ("preset", "device", "index", "redis")},
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
        not_measured=[*missing, *([NOT_ON_CUDA] if on_gpu else [])],
    )


def _rate(arguments: argparse.Namespace, shape: ModelShape, length: int) -> tuple[RateEstimate | None, list[str]]:
    if arguments.rate is None:
        return None, []
    try:
        return estimate_rate(shape, arguments.rate, length, arguments.device, index=arguments.index), []
    except NotMeasured as error:
        return None, [str(error)]


def _check(arguments: argparse.Namespace) -> None:
    """ValueError for a number that makes no sense, by its option."""
    if arguments.index and arguments.device == "cuda":
        raise ValueError("--index is for --device cpu: on a GPU everything is scored")
    for name, least, most in (
        ("workers", 1, MOST_WORKERS),
        ("rate", 0.01, 1e8),
        ("id_bytes", 1, LARGEST_TEXT),
        ("user_id_bytes", 1, LARGEST_TEXT),
        ("title_bytes", 0, LARGEST_TEXT),
        ("categories", 0, 1000),
        ("event_bytes", 0, LARGEST_TEXT),
    ):
        value = getattr(arguments, name)
        if value is not None and (not math.isfinite(value) or not least <= value <= most):
            raise ValueError(f"--{name.replace('_', '-')} is {value:g}; from {least:g} to {most:g} can be planned")
