"""Write and load artifacts: a trained model as a folder of verified files, with the manifest written last.

    manifest.json          format, version, preset, figures, and sha256 and size of every other file
    config.json            sizes and parts
    model.safetensors      weights; nothing is unpickled
    catalogue.parquet      item_id, count, title, categories; row = index − 1
    catalogue.safetensors  the same as arrays, which a service memory-maps
    golden.json            histories and the model's outputs at export time
    neighbours.ivf         optional ANN index (models/indexing.py)

A changed byte, a missing file or a golden mismatch raises ArtifactError.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from shutil import copymode
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from models.batch import History
from models.build import build_uninitialized_model
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import ARRAYS, TABLE, open_catalogue, write_arrays
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
REQUIRED_FILES = (CONFIG, WEIGHTS, TABLE, ARRAYS, GOLDEN)
MIN_MMAP_BYTES = 1 << 20
"""Tensors of at least this size stay memory-mapped."""


class ArtifactError(ValueError):
    """An artifact that must not be served; the message names the folder, and the file or the difference."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded model version.

    `bytes_by_part` has embedding, encoder, head, catalogue and workspace; `uncompressed_bytes` is the size of the same
    model with one float32 vector per item in the embedding and another in the head.
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
    details: Mapping[str, Any] | None = None,
) -> str:
    """Write all files, the manifest last, and return the version; `details` are further entries of the manifest.

    An existing artifact in the folder is replaced and is invalid in the meantime.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_json(folder / CONFIG, model.config.to_json())
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace_atomically(folder / WEIGHTS, lambda path: save_file(weights, path))
    replace_atomically(folder / TABLE, lambda path: write_table(path, catalogue))
    replace_atomically(folder / ARRAYS, lambda path: write_arrays(path, catalogue))
    for name in (WEIGHTS, ARRAYS):
        copymode(folder / CONFIG, folder / name)  # safetensors creates files readable only by their owner
    predictor = Predictor(model, torch.device("cpu"))
    _write_json(folder / GOLDEN, compute_golden_outputs(predictor, golden_histories))
    created = datetime.now(UTC)
    files = {name: describe_file(folder / name) for name in REQUIRED_FILES}
    version = f"{created:%Y%m%d-%H%M%S}-{files[WEIGHTS]['sha256'][:8]}"
    manifest = {
        "format": FORMAT_VERSION,
        "version": version,
        "preset": model.config.preset,
        "created": created.isoformat(timespec="seconds"),
        "files": files,
        "figures": metrics,
        "packages": {"python": platform.python_version()} | {n: package_version(n) for n in ("torch", "numpy")},
        **(details or {}),
    }
    write_manifest(folder, manifest)
    return version


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest atomically."""
    partial = folder / f"{MANIFEST}.partial"
    _write_json(partial, manifest)
    partial.replace(folder / MANIFEST)


def load_artifact(folder: Path, *, device: str = "auto", native: bool = True) -> Artifact:
    """Verify all files, build the model and check its golden outputs; ArtifactError on any mismatch.

    `native` allows native code to run the model where it is supported.
    """
    manifest = _read_manifest(folder)
    try:
        config = ModelConfig.from_json(json.loads((folder / CONFIG).read_text()))
        catalogue = open_catalogue(folder)
        model = _load_model(config, catalogue.num_items, folder / WEIGHTS)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(f"{folder} does not contain a valid model: {error}") from error
    torch_device = choose_device(device)
    predictor = Predictor(model, torch_device, choose_runner(model, torch_device, native=native))
    predictor.choose_scorers(native=native)  # first, so that the golden check covers the scorers that serve
    if difference := check_golden_outputs(predictor, json.loads((folder / GOLDEN).read_text())):
        raise ArtifactError(f"{folder}: golden outputs do not match: {difference}")
    if INDEX in manifest["files"] and predictor.device == "cpu":
        try:
            index = load_index(folder / INDEX, manifest["index"], native=native)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"{folder / INDEX} does not match the index in {MANIFEST}: {error!r}") from error
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


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no artifact: {MANIFEST} is missing; name a folder that nextup train wrote")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        format_version, files = manifest["format"], dict(manifest["files"])
        str(manifest["version"] + manifest["preset"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}; copy or export the artifact again") from error
    if format_version != FORMAT_VERSION:
        raise ArtifactError(f"{path} has format {format_version}; this version of nextup reads format {FORMAT_VERSION}")
    for name in REQUIRED_FILES:
        if name not in files:
            raise ArtifactError(f"{path} does not list {name}; export the artifact again")
    for name in (*REQUIRED_FILES, *({INDEX} & files.keys())):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; copy or export the artifact again")
        if describe_file(folder / name) != files[name]:
            raise ArtifactError(f"{folder / name} does not match the manifest (size or sha256 differ); copy it again")
    return manifest


def _load_model(config: ModelConfig, num_items: int, weights: Path) -> SequentialRecommender:
    """Build the model; large tensors stay memory-mapped and shared by processes, small ones are copied.

    RuntimeError if names or shapes differ from the model's.
    """
    model = build_uninitialized_model(config, num_items)
    dtypes = {name: value.dtype for name, value in model.state_dict().items()}
    tensors = load_file(weights)
    if wrong := [name for name, value in tensors.items() if dtypes.get(name, value.dtype) != value.dtype]:
        raise ValueError(f"{wrong[0]} has dtype {tensors[wrong[0]].dtype}, the model expects {dtypes[wrong[0]]}")
    model.load_state_dict(
        {name: value if value.nbytes >= MIN_MMAP_BYTES else value.clone() for name, value in tensors.items()},
        assign=True,
    )
    return model


def replace_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write to a temporary file and rename it, so that processes that map the old file keep its contents."""
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    partial.replace(path)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def describe_file(path: Path) -> dict[str, Any]:
    """Compute the manifest entry of a file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
