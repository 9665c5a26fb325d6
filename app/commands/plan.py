"""`nextup plan`: estimate disk, memory, Redis and workers of a service before anything is trained or started."""

import dataclasses
import json

from app.capacity.artifact_files import ItemText, estimate_artifact_files
from app.capacity.base_memory import measure_base_memory
from app.capacity.histories import estimate_histories
from app.capacity.live_catalogue import estimate_live_catalogue
from app.capacity.memory import estimate_device_memory, estimate_worker_memory
from app.capacity.rate import NotMeasured, RateEstimate, estimate_rate
from app.capacity.report import CapacityPlan
from app.capacity.shapes import ModelShape, compute_shape
from app.commands.options.plan import PlanOptions
from app.environment import load_settings
from models.presets import preset

NOT_MEASURED_ON_CUDA = (
    "memory of CUDA itself on the device and in the process, and the scorer that a GPU would select with its tables; "
    "process memory is estimated as on a CPU"
)


def run(arguments: PlanOptions) -> int:
    if arguments.index and arguments.device == "cuda":
        raise ValueError("--index requires --device cpu; a GPU scores all items")
    plan = _make_plan(arguments)
    print(plan.format_table())
    print(json.dumps(plan.to_dict()))
    return 0


def _make_plan(arguments: PlanOptions) -> CapacityPlan:
    config = preset(arguments.preset)
    if arguments.transitions is not None:
        config = dataclasses.replace(config, transitions=arguments.transitions)
    shape = compute_shape(config, arguments.items)
    text = ItemText.from_count(arguments.items, arguments.title_bytes, arguments.categories, arguments.attributes)
    if arguments.id_bytes is not None:
        text = dataclasses.replace(text, id_bytes=arguments.id_bytes)
    user_bytes = arguments.user_id_bytes
    if user_bytes is None:
        user_bytes = ItemText.from_count(arguments.users).id_bytes
    histories = estimate_histories(
        arguments.users,
        arguments.length,
        user_bytes=user_bytes,
        max_events=load_settings({"history_max_events"}).history_max_events,
        event_ids=arguments.event_ids,
        allocator=arguments.redis,
    )
    live = estimate_live_catalogue(
        arguments.live_items, text, attribute_bytes=arguments.attribute_bytes, allocator=arguments.redis
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
            "attributes": arguments.attributes,
            "live_items": arguments.live_items,
            "event_ids": arguments.event_ids,
            "user_id_bytes": round(user_bytes, 2),
        },
        files=files,
        worker=estimate_worker_memory(shape, text, base.resident, index=arguments.index, live_bytes=live.process),
        workers=arguments.workers or (rate.workers if rate else 1),
        histories=histories,
        live=live,
        device=estimate_device_memory(shape) if on_gpu else None,
        rate=rate,
        base_is_measured=base.is_measured,
        not_measured=[*not_measured, *([NOT_MEASURED_ON_CUDA] if on_gpu else [])],
    )


def _estimate_rate(arguments: PlanOptions, shape: ModelShape) -> tuple[RateEstimate | None, list[str]]:
    """Return the estimate and nothing missing, or None and the reason."""
    if arguments.rate is None:
        return None, []
    try:
        return estimate_rate(shape, arguments.rate, arguments.length, arguments.device, index=arguments.index), []
    except NotMeasured as error:
        return None, [str(error)]
