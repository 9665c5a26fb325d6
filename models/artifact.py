"""A trained model as a folder of files that a service can trust: written manifest last, checked before it answers.

    manifest.json          format, version, preset, figures, and sha256 and size of every other file
    config.json            sizes and parts
    model.safetensors      weights; nothing is unpickled
    catalogue.parquet      item_id, count, title, categories; row = index − 1
    catalogue.safetensors  the same as arrays, which a service maps instead of reading; older artifacts have none
    golden.json            histories and what the model answered when it was written
    neighbours.ivf         only if it was asked for (models/indexing.py): an index for approximate answers

A changed byte, a missing file or another answer than the golden one is an ArtifactError. It knows no training.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from shutil import copymode
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file, save_file

from models.batch import History
from models.build import build_uninitialized_model
from models.catalogue.arrays import write_arrays
from models.catalogue.catalogue import Catalogue
from models.catalogue.open import ARRAYS, TABLE, open_catalogue
from models.catalogue.parquet import write_table
from models.config import ModelConfig
from models.device import choose_device
from models.golden import check_golden_outputs, compute_golden_outputs
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner
from models.scorers.ann.indexes import load_index

FORMAT_VERSION = 1
MANIFEST, CONFIG, WEIGHTS, GOLDEN = "manifest.json", "config.json", "model.safetensors", "golden.json"
INDEX = "neighbours.ivf"
REQUIRED_FILES = (CONFIG, WEIGHTS, TABLE, GOLDEN)
MIN_MMAP_BYTES = 1 << 20
"""Tensors from here on stay in the file."""


class ArtifactError(ValueError):
    """The folder is no artifact that may serve; the text names the folder and the file."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded version.

    `bytes_by_part` has embedding, encoder, head, catalogue and workspace; `uncompressed_bytes` is what the same model
    would take with one float32 vector per item in the embedding, and one more in the head.
    """

    folder: Path
    version: str
    preset: str
    catalogue: Catalogue
    predictor: Predictor
    bytes_by_part: dict[str, int]
    uncompressed_bytes: int
    manifest: dict[str, Any]


def save_artifact(
    folder: Path,
    model: SequentialRecommender,
    catalogue: Catalogue,
    *,
    golden_histories: list[History],
    metrics: dict[str, float],
) -> str:
    """Write the files, the manifest last; the version. An artifact that is there is replaced, and is none meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_json(folder / CONFIG, model.config.to_json())
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace_atomically(folder / WEIGHTS, lambda path: save_file(weights, path))
    replace_atomically(folder / TABLE, lambda path: write_table(path, catalogue))
    replace_atomically(folder / ARRAYS, lambda path: write_arrays(path, catalogue))
    for name in (WEIGHTS, ARRAYS):
        copymode(folder / CONFIG, folder / name)  # safetensors writes for the owner alone
    predictor = Predictor(model, torch.device("cpu"))
    _write_json(folder / GOLDEN, compute_golden_outputs(predictor, golden_histories))
    created = datetime.now(UTC)
    files = {name: describe_file(folder / name) for name in (*REQUIRED_FILES, ARRAYS)}
    version = f"{created:%Y%m%d-%H%M%S}-{files[WEIGHTS]['sha256'][:8]}"
    manifest = {
        "format": FORMAT_VERSION,
        "version": version,
        "preset": model.config.preset,
        "created": created.isoformat(timespec="seconds"),
        "files": files,
        "figures": metrics,
        "packages": {"python": platform.python_version()} | {n: package_version(n) for n in ("torch", "numpy")},
    }
    write_manifest(folder, manifest)
    return version


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """At once or not at all."""
    partial = folder / f"{MANIFEST}.partial"
    _write_json(partial, manifest)
    partial.replace(folder / MANIFEST)


def load_artifact(folder: Path, *, device: str = "auto", native: bool = True) -> Artifact:
    """Check every byte, build the model, ask it the golden questions; ArtifactError if anything is not as written.

    `native`: whether native code may run the model where it can.
    """
    manifest = _checked_manifest(folder)
    try:
        config = ModelConfig.from_json(json.loads((folder / CONFIG).read_text()))
        catalogue = open_catalogue(folder, manifest["files"])
        model = _load_model(config, catalogue.num_items, folder / WEIGHTS)
    except (ValueError, KeyError, TypeError, RuntimeError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{folder}: the files do not make a model: {error}") from error
    chosen = choose_device(device)
    predictor = Predictor(model, chosen, choose_runner(model, chosen, native=native))
    predictor.choose_scorers(native=native)  # first, so that the golden questions go to those that will serve
    if difference := check_golden_outputs(predictor, json.loads((folder / GOLDEN).read_text())):
        raise ArtifactError(f"{folder}: the model does not answer as when it was written: {difference}")
    if INDEX in manifest["files"] and predictor.device == "cpu":
        try:
            index = load_index(folder / INDEX, manifest["index"], native=native)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"{folder / INDEX} is no index that the manifest tells of: {error!r}") from error
        if index is not None:
            predictor.use_index(index)
    vectors = 4 * (catalogue.num_items + 1) * config.dim
    parts = predictor.count_model_bytes()
    return Artifact(
        folder=folder,
        version=manifest["version"],
        preset=manifest["preset"],
        catalogue=catalogue,
        predictor=predictor,
        bytes_by_part=parts | {"catalogue": catalogue.nbytes, "workspace": predictor.estimate_workspace_bytes()},
        uncompressed_bytes=2 * vectors + parts["encoder"],
        manifest=manifest,
    )


def _checked_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no artifact: there is no {MANIFEST}")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        form, files = manifest["format"], dict(manifest["files"])
        str(manifest["version"] + manifest["preset"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error!r}") from error
    if form != FORMAT_VERSION:
        raise ArtifactError(f"{path} has format {form}, this nextup reads format {FORMAT_VERSION}")
    for name in REQUIRED_FILES:
        if name not in files:
            raise ArtifactError(f"{path} does not list {name}")
    for name in (*REQUIRED_FILES, *({ARRAYS, INDEX} & files.keys())):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing")
        if describe_file(folder / name) != files[name]:
            raise ArtifactError(f"{folder / name} is not the file that was written (size or sha256 differ)")
    return manifest


def _load_model(config: ModelConfig, num_items: int, weights: Path) -> SequentialRecommender:
    """Large tables stay in the mapped file, where processes share them; what is small is read into memory of its own.

    RuntimeError if the names or shapes are others.
    """
    model = build_uninitialized_model(config, num_items)
    kinds = {name: value.dtype for name, value in model.state_dict().items()}
    found = load_file(weights)
    if wrong := [name for name, value in found.items() if kinds.get(name, value.dtype) != value.dtype]:
        raise ValueError(f"{wrong[0]} has another type than the model's")
    model.load_state_dict(
        {name: value if value.nbytes >= MIN_MMAP_BYTES else value.clone() for name, value in found.items()}, assign=True
    )
    return model


def replace_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside and rename: a service that maps the file which was there keeps what it mapped."""
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    partial.replace(path)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def describe_file(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
