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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from shutil import copymode
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file

from models.batch import History
from models.catalogue.catalogue import Catalogue
from models.catalogue.files import ARRAYS, TABLE, open_catalogue, write_arrays
from models.catalogue.parquet import write_table
from models.config import ModelConfig
from models.device import choose_device
from models.golden import check_golden_outputs, compute_golden_outputs, parse_golden_outputs
from models.json_files import read_json_object, shorten_reason
from models.manifest import FORMAT_VERSION, MANIFEST, ManifestError, read_manifest
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.runners.choice import choose_runner
from models.scorers.ann.indexes import Index, check_index, load_index
from models.weights import load_model

CONFIG, WEIGHTS, GOLDEN = "config.json", "model.safetensors", "golden.json"
INDEX = "neighbours.ivf"
REQUIRED_FILES = (CONFIG, WEIGHTS, TABLE, ARRAYS, GOLDEN)
MAX_CONFIG_BYTES, MAX_GOLDEN_BYTES = 1 << 20, 16 << 20
MIN_INDEX_OVERLAP = 0.9
"""Share of the golden items that an index must find; its measured recall of 0.995 is a mean over other histories."""

Parsed = TypeVar("Parsed")


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
    golden_histories: Sequence[Sequence[int]] = ()


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

    An existing artifact in the folder is replaced and is invalid in the meantime; it stays if the model does not run.
    """
    golden = compute_golden_outputs(Predictor(model, torch.device("cpu")), golden_histories)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_json(folder / CONFIG, model.config.to_json())
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    replace_atomically(folder / WEIGHTS, lambda path: save_file(weights, path))
    replace_atomically(folder / TABLE, lambda path: write_table(path, catalogue))
    replace_atomically(folder / ARRAYS, lambda path: write_arrays(path, catalogue))
    for name in (WEIGHTS, ARRAYS):
        copymode(folder / CONFIG, folder / name)  # safetensors creates files readable only by their owner
    _write_json(folder / GOLDEN, golden)
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


def load_artifact(folder: Path, *, device: str = "auto", native: bool = True, source: Path | None = None) -> Artifact:
    """Verify all files and every array, build the model and check its golden outputs; ArtifactError says what is wrong.

    `native` allows native code to run the model where it is supported. Errors name `source`, of which `folder` is a
    copy, in place of `folder`.
    """
    try:
        return _load_artifact(folder, device, native=native)
    except ArtifactError as error:
        if source is None:
            raise
        raise ArtifactError(str(error).replace(str(folder), str(source))) from error


def _load_artifact(folder: Path, device: str, *, native: bool) -> Artifact:
    manifest = verify_files(folder)
    config = _parse(folder / CONFIG, lambda path: ModelConfig.from_json(read_json_object(path, MAX_CONFIG_BYTES)))
    catalogue = _parse(folder / ARRAYS, lambda path: open_catalogue(path.parent))
    model = _parse(folder / WEIGHTS, lambda path: load_model(config, catalogue.num_items, path))
    golden = _parse(folder / GOLDEN, lambda path: read_json_object(path, MAX_GOLDEN_BYTES))
    _parse(folder / GOLDEN, lambda _: parse_golden_outputs(golden, catalogue.num_items))
    torch_device = choose_device(device)
    predictor = Predictor(model, torch_device, choose_runner(model, torch_device, native=native))
    predictor.choose_scorers(native=native)  # first, so that the golden check covers the scorers that serve
    _check_golden(folder, predictor, golden)
    if INDEX in manifest["files"] and predictor.device == "cpu":
        index = _open_index(folder / INDEX, manifest, model, native=native)
        if index is not None:
            predictor.use_index(index)
            _check_golden(folder, predictor, golden, min_overlap=MIN_INDEX_OVERLAP)
    parts = predictor.count_model_bytes()
    return Artifact(
        folder=folder,
        version=manifest["version"],
        preset=manifest["preset"],
        catalogue=catalogue,
        predictor=predictor,
        bytes_by_part=parts | {"catalogue": catalogue.nbytes, "workspace": predictor.estimate_workspace_bytes()},
        uncompressed_bytes=count_uncompressed_bytes(config, catalogue.num_items, parts["encoder"]),
        manifest=manifest,
        golden_histories=golden["histories"],
    )


def count_uncompressed_bytes(config: ModelConfig, num_items: int, encoder_bytes: int) -> int:
    """Count the bytes of a model with one float32 vector per item in the embedding and another in the head."""
    return 2 * 4 * (num_items + 1) * config.dim + encoder_bytes


def _parse(path: Path, read: Callable[[Path], Parsed]) -> Parsed:
    """Read a file; any error but those of the machine is an ArtifactError, because damage may cause all kinds."""
    try:
        return read(path)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        kind = "" if isinstance(error, (ValueError, RuntimeError)) else f"{type(error).__name__}: "
        reason = f"{kind}{shorten_reason(error, path)}"
        raise ArtifactError(
            f"{path.parent} does not contain a valid model: {path.name}: {reason}; copy or export the artifact again"
        ) from error


def _check_golden(folder: Path, predictor: Predictor, golden: Mapping[str, Any], *, min_overlap: float = 1.0) -> None:
    if difference := check_golden_outputs(predictor, golden, min_overlap=min_overlap):
        part = "" if min_overlap == 1 else f" with {INDEX}"
        raise ArtifactError(
            f"{folder}: golden outputs do not match{part}: {difference}; copy or export the artifact again"
        )


def _open_index(path: Path, manifest: Mapping[str, Any], model: SequentialRecommender, *, native: bool) -> Index | None:
    try:
        index = load_index(path, manifest["index"], native=native)
        if index is not None:
            check_index(index, model)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise ArtifactError(
            f"{path} does not match the index in {MANIFEST}: {type(error).__name__}: {shorten_reason(error, path)}; "
            "build the index again"
        ) from error
    return index


def verify_files(folder: Path) -> dict[str, Any]:
    """Verify that the files are those of the manifest, and return it; ArtifactError names a file that is not."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no artifact: {MANIFEST} is missing; name a folder that nextup train wrote")
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        raise ArtifactError(str(error)) from error
    files = manifest["files"]
    for name in REQUIRED_FILES:
        if name not in files:
            raise ArtifactError(f"{path} does not list {name}; export the artifact again")
    for name in (*REQUIRED_FILES, *({INDEX} & files.keys())):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; copy or export the artifact again")
        if describe_file(folder / name) != files[name]:
            raise ArtifactError(f"{folder / name} does not match the manifest (size or sha256 differ); copy it again")
    return manifest


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
