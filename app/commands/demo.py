"""`nextup demo`, and the demo of `nextup serve --demo`: a synthetic log, a model trained on it, and example users."""

import asyncio
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import torch

from app.cli.load_histories import load_events
from app.commands.options.demo import DemoOptions
from app.model_repository.repository import ModelRepository
from app.settings import Settings
from app.stores.session import open_store
from models.data.dataset import prepare_dataset
from models.data.demo import make_demo_items, make_demo_log, write_demo
from models.device import choose_device
from models.presets import preset
from models.training.options import RunContext, TrainingOptions
from models.training.pipeline import train_artifact

MODEL = dataclasses.replace(preset("blossom"), dim=32, max_len=50)
OPTIONS = TrainingOptions(epochs=6, batch_cells=1024, learning_rate=3e-3, warmup_steps=30, max_minutes=1.5)


def run(arguments: DemoOptions) -> int:
    """Write the log and the items of the demo as files, to try other commands on."""
    log, items = write_demo(arguments.out)
    print(f"log in {log}, titles and categories in {items}; try")
    for command in (f"train {log} --items {items} --out var/demo-model --max-minutes 2", f"load {log}"):
        print(f"  nextup {command}")
    print(json.dumps({"log": str(log), "items": str(items)}))
    return 0


def ensure_demo(artifact: Path) -> None:
    """Train the demo model, in about half a minute, unless the folder has an artifact."""
    if ModelRepository(artifact).has_artifact():
        return
    torch.set_num_threads(1)  # batches are small: with more threads, synchronization takes longer than the compute
    print(f"no artifact in {artifact}: training the demo model", file=sys.stderr)
    dataset = prepare_dataset(make_demo_log(), make_demo_items())
    artifact.parent.mkdir(parents=True, exist_ok=True)
    # Trained in a temporary folder and renamed when complete, so an interrupted start leaves no partial demo.
    with tempfile.TemporaryDirectory(dir=artifact.parent, prefix=".demo-") as folder:
        incoming = Path(folder) / "artifact"
        train_artifact(dataset, MODEL, OPTIONS, RunContext(choose_device("auto"), incoming))
        incoming.replace(artifact)


def load_demo_histories(settings: Settings) -> None:
    """Load the demo users into an empty store; a store that has users is not changed."""
    assert settings.redis_url is not None, "serve starts Redis first"
    url = settings.redis_url.get_secret_value()
    if asyncio.run(_is_empty(url, settings)):
        asyncio.run(load_events(url, settings, make_demo_log()))


async def _is_empty(url: str, settings: Settings) -> bool:
    async with open_store(url, settings) as store:
        return await anext(store.iter_users(), None) is None
