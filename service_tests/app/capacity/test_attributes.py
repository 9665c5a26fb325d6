"""Estimated bytes of item attributes match an artifact that was written, columns in memory and a real Redis."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from app.capacity.artifact_files import ItemText, compute_catalogue_bytes, estimate_artifact_files
from app.capacity.histories import detect_allocator
from app.capacity.live_catalogue import VIEW_BYTES, compute_record_bytes, estimate_live_catalogue
from app.capacity.shapes import compute_shape
from app.inference.live.items import LiveItems, LiveRow
from app.inference.live.version_view import VersionView
from app.settings import Settings
from app.stores.item_records import ItemRecord, encode_record
from app.stores.redis.servers import find_redis_server
from app.stores.session import open_live_items, open_store, redis_url
from models.artifact import save_artifact
from models.benchmarks.synthetic_artifact import make_log_config, make_synthetic_catalogue
from models.benchmarks.synthetic_model import make_synthetic_model
from models.catalogue.attributes import AttributeFeatures
from models.catalogue.categories import CategoryIndex
from models.catalogue.files import ARRAYS, TABLE, open_catalogue
from models.presets import preset

pytestmark = pytest.mark.process

WITHIN = 0.1
COLUMNS_WITHIN = 0.05
"""Less than the share of the view of a version, so that leaving it out is noticed."""
ITEMS = 50_000
LIVE_ITEMS, STEP = 1 << 18, 1 << 10
"""As many as columns have room for after they have doubled, so that they have no reserve."""
DISTINCT = {"offer": 2, "price": 8, "brand": 100, "series": 1000}
"""Distinct values by attribute, such as the bins of a price."""


def write_artifact(folder: Path, distinct: dict[str, int]) -> Path:
    """Write an artifact whose items have one feature of each of these attributes."""
    catalogue = make_synthetic_catalogue(make_log_config(ITEMS))
    rng = np.random.default_rng(0)
    columns = [[f"{name}=value {n}" for n in rng.integers(count, size=ITEMS)] for name, count in distinct.items()]
    catalogue.attributes = AttributeFeatures(CategoryIndex.from_lists(zip(*columns, strict=True)), {})
    histories = [rng.integers(1, ITEMS + 1, size=20) for _ in range(4)]
    save_artifact(
        folder, make_synthetic_model(preset("blossom"), catalogue, 0), catalogue, golden_histories=histories, metrics={}
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 2])
def test_files_and_mapped_bytes_match_the_estimate(repeats: int, tmp_path: Path) -> None:
    distinct = {f"{name}{n}": count for name, count in DISTINCT.items() for n in range(repeats)}
    folder = write_artifact(tmp_path / "artifact", distinct)
    text = ItemText.from_count(ITEMS, attributes=len(distinct))
    estimate = estimate_artifact_files(compute_shape(preset("blossom"), ITEMS), text)
    sizes = {name: (folder / name).stat().st_size for name in (ARRAYS, TABLE)}
    assert sizes == {name: pytest.approx(estimate[name], rel=WITHIN) for name in sizes}
    assert open_catalogue(folder).nbytes == pytest.approx(compute_catalogue_bytes(ITEMS, text), rel=WITHIN)


@pytest.mark.parametrize("attributes", [1, 6])
def test_columns_of_a_process_match_the_estimate(attributes: int) -> None:
    """Bytes of the columns, and not of the process, which vary by several MB with what its heap held before."""
    live = LiveItems()
    view = VersionView(live, make_synthetic_catalogue(make_log_config(LIVE_ITEMS)))  # of the version that serves
    for start in range(0, LIVE_ITEMS, STEP):
        values = [{f"a{n}": float(item + n) for n in range(attributes)} for item in range(start, start + STEP)]
        live.apply(
            {f"i{start + n}": LiveRow(attributes=own, is_listed=True) for n, own in enumerate(values)},
        )
    text = ItemText.from_count(LIVE_ITEMS, attributes=attributes)
    estimate = estimate_live_catalogue(LIVE_ITEMS, text, attribute_bytes=14).process
    assert view.nbytes == LIVE_ITEMS * VIEW_BYTES + np.dtype(np.int32).itemsize  # and the padding item
    assert live.nbytes == pytest.approx(estimate, rel=COLUMNS_WITHIN)  # what nextup_catalogue_bytes shows


async def measure_redis(url: str, settings: Settings, records: list[tuple[str, ItemRecord]]) -> int:
    """Write and measure over separate connections: Redis keeps buffers for a connection that has written."""
    async with open_live_items(url, settings) as live:
        await live.put([("none", ItemRecord())])
    async with open_store(url, settings) as store:
        empty_bytes = (await store.read_usage()).memory_bytes
    async with open_live_items(url, settings) as live:
        assert set(await live.put(records)) == {"created"}
    async with open_store(url, settings) as store:
        return (await store.read_usage()).memory_bytes - empty_bytes


@pytest.mark.slow
@pytest.mark.parametrize(("attributes", "title"), [(1, None), (4, None), (4, "A title of some length")])
def test_memory_of_redis_matches_the_estimate(attributes: int, title: str | None, tmp_path: Path) -> None:
    items = 20_000
    values = {f"attribute{n}": 12.25 for n in range(attributes)}
    records = [(f"i{item}", ItemRecord(title=title, attributes={**values})) for item in range(items)]
    settings = Settings(data_dir=tmp_path, event_log="off")
    with redis_url(settings) as url:
        measured = asyncio.run(measure_redis(url, settings, records))
    estimate = estimate_live_catalogue(
        items,
        ItemText.from_count(items, title_bytes=len(title or ""), attributes=attributes),
        attribute_bytes=len('"attribute0":12.25'),
        allocator=detect_allocator(find_redis_server()),
    )
    assert measured == pytest.approx(estimate.redis, rel=WITHIN)


def test_nothing_is_planned_without_a_live_catalogue() -> None:
    estimate = estimate_live_catalogue(0, ItemText(8.0, attributes=4), attribute_bytes=14)
    assert (estimate.process, estimate.redis) == (0, 0)


@pytest.mark.parametrize("title", [None, "Lamp"])
def test_record_has_the_planned_bytes(title: str | None) -> None:
    record = encode_record(ItemRecord(title=title, attributes={"price": 12.5, "brand": "Lumen"}))
    attribute_bytes = (len('"price":12.5') + len('"brand":"Lumen"')) / 2
    text = ItemText(8.0, title_bytes=len(title or ""), attributes=2)
    assert compute_record_bytes(text, attribute_bytes) == pytest.approx(len(record), abs=1)
