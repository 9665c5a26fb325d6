"""Changes one thing in a valid artifact and signs it again, so that its digests are right and its content is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.artifact import describe_file

MANIFEST, CONFIG, GOLDEN = "manifest.json", "config.json", "golden.json"
WEIGHTS, ARRAYS, INDEX = "model.safetensors", "catalogue.safetensors", "neighbours.ivf"

Arrays = dict[str, NDArray[Any]]


def sign_again(folder: Path, *names: str) -> None:
    """Write the digests and sizes of these files into the manifest."""
    digests = {name: describe_file(folder / name) for name in names}
    change_json(folder, MANIFEST, lambda manifest: manifest["files"].update(digests))


def change_json(folder: Path, name: str, change: Callable[[Any], object]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    if name != MANIFEST:
        sign_again(folder, name)


def replace_file(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    if name != MANIFEST:
        sign_again(folder, name)


def change_arrays(folder: Path, name: str, change: Callable[[Arrays], object]) -> None:
    arrays = {key: array.copy() for key, array in load_file(folder / name).items()}
    change(arrays)
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / name)
    sign_again(folder, name)


def set_cell(name: str, position: int | slice, value: float) -> Callable[[Arrays], None]:
    """Change one number or several of an array, counted over all dimensions."""

    def change(arrays: Arrays) -> None:
        arrays[name].reshape(-1)[position] = value

    return change


def replace_array(name: str, make: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = make(arrays[name])

    return change
