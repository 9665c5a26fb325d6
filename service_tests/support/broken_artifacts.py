"""Changes that make an artifact wrong while its digests are right, each with a part of the error that refuses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service_tests.support.artifact_mutations import (
    ARRAYS,
    CONFIG,
    GOLDEN,
    MANIFEST,
    WEIGHTS,
    change_arrays,
    change_json,
    replace_array,
    replace_file,
    set_cell,
)

NUM_ITEMS = 60
Change = Callable[[Path], None]


def in_catalogue(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda folder: change_arrays(folder, ARRAYS, change)


def in_weights(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda folder: change_arrays(folder, WEIGHTS, change)


def in_json(name: str, **values: Any) -> Change:
    return lambda folder: change_json(folder, name, lambda content: content.update(values))


def without(name: str, key: str) -> Change:
    return lambda folder: change_json(folder, name, lambda content: content.pop(key))


def with_bytes(name: str, content: bytes) -> Change:
    return lambda folder: replace_file(folder, name, content)


def in_part(kind: str, **options: Any) -> Change:
    return lambda folder: change_json(folder, CONFIG, lambda content: content[kind]["options"].update(options))


def duplicate_id(arrays: dict[str, Any]) -> None:
    """Make the ids of the items 2 and 3 equal, with the key of the first of them."""
    text = arrays["item_ids.text"]
    text[5] = text[3]
    keys, indices = arrays["keys"].view(np.uint64), arrays["indices"]
    keys[indices == 3] = keys[indices == 2]
    order = np.argsort(keys, kind="stable")
    arrays["keys"], arrays["indices"] = keys[order].view(np.int64), indices[order]


def shrink_codebook(folder: Path) -> None:
    """Reduce the codebook from 64 to 60 codes, and give an item code 63."""
    change_json(folder, CONFIG, lambda content: content["embedding"]["options"].update(codebook=60))

    def change(arrays: dict[str, Any]) -> None:
        pieces = arrays["embedding.pieces.weight"]
        arrays["embedding.pieces.weight"] = pieces.reshape(8, 64, 2)[:, :60].reshape(-1, 2)
        arrays["embedding.kept"][5] = 255

    change_arrays(folder, WEIGHTS, change)


CATALOGUE_CASES: dict[str, tuple[Change, str]] = {
    "offset behind the text": (in_catalogue(set_cell("item_ids.ends", -1, 10**6)), r"item_ids\.ends ends at 1,000,000"),
    "negative offset": (in_catalogue(set_cell("item_ids.ends", 0, -5)), r"item_ids\.ends holds offsets that decrease"),
    "offsets that decrease": (in_catalogue(set_cell("titles.ends", 3, 0)), r"titles\.ends holds offsets that decrease"),
    "not UTF-8": (in_catalogue(set_cell("titles.text", 4, 0xFF)), r"titles\.text is not UTF-8"),
    "cut character": (in_catalogue(set_cell("item_ids.text", 2, 0xA9)), r"item_ids\.text is not UTF-8"),
    "empty id": (in_catalogue(set_cell("item_ids.ends", 0, 0)), r"item_ids holds a text of 0"),
    "category names not UTF-8": (in_catalogue(set_cell("categories.names.text", 0, 0xFF)), r"categories\.names\.text"),
    "category of no name": (in_catalogue(set_cell("categories.numbers", 7, 99)), r"categories\.numbers holds 0 to 99"),
    "negative category": (in_catalogue(set_cell("categories.numbers", 7, -1)), r"categories\.numbers holds -1"),
    "category offsets": (in_catalogue(set_cell("categories.ends", -1, 9999)), r"categories\.ends ends at 9,999"),
    "duplicate id": (in_catalogue(duplicate_id), "two items have the same id"),
    "key of another id": (in_catalogue(set_cell("keys", 0, -(2**62) + 5)), "keys"),
    "index behind the items": (in_catalogue(set_cell("indices", 0, NUM_ITEMS + 1)), r"indices holds 1 to 61"),
    "index of padding": (in_catalogue(set_cell("indices", 0, 0)), r"indices holds 0"),
    "item without a key": (in_catalogue(lambda arrays: arrays["indices"].__setitem__(0, arrays["indices"][1])), "item"),
    "counts that rise": (in_catalogue(set_cell("counts", 5, 10**9)), "sorted by descending count"),
    "negative count": (in_catalogue(set_cell("counts", -1, -1)), "counts holds a negative number"),
    "untitled of another type": (in_catalogue(replace_array("untitled", lambda a: a.astype(np.uint8))), "untitled is"),
    "counts of another type": (in_catalogue(replace_array("counts", lambda a: a.astype(np.float64))), "catalogue"),
    "two dimensions": (in_catalogue(replace_array("keys", lambda a: a[None])), "keys is int64 with 2 dimensions"),
    "shorter array": (in_catalogue(replace_array("counts", lambda a: a[:-1])), "one count, title"),
    "shorter keys": (in_catalogue(replace_array("indices", lambda a: a[:-1])), "one count, title"),
    "missing array": (in_catalogue(lambda arrays: arrays.pop("titles.ends")), r"titles\.ends is missing"),
    "no items": (in_catalogue(lambda arrays: arrays.update({n: a[:0] for n, a in arrays.items()})), "one item"),
    "no file of arrays": (with_bytes(ARRAYS, b"\x00" * 40), "not a valid safetensors file"),
    "empty file": (with_bytes(ARRAYS, b""), "not a valid safetensors file"),
    "header behind the end": (with_bytes(ARRAYS, b"\xff" * 6 + b"\x00\x00{}"), "header extends past the end"),
}

GOLDEN_CASES: dict[str, tuple[Change, str]] = {
    "empty object": (with_bytes(GOLDEN, b"{}"), "histories must be a list"),
    "empty lists": (in_json(GOLDEN, histories=[], items=[], scores=[]), "histories must be a list of 1 to 32"),
    "an empty history": (in_json(GOLDEN, histories=[[]] * 32), "histories must hold"),
    "unknown item": (in_json(GOLDEN, histories=[[NUM_ITEMS + 1]] * 32), "histories must hold"),
    "text": (in_json(GOLDEN, histories=[["1"]] * 32), "histories must hold"),
    "fewer answers": (in_json(GOLDEN, items=[[1] * 10]), "items must be a list with one row per history"),
    "shorter answers": (in_json(GOLDEN, items=[[]] * 32, scores=[[]] * 32), "items must hold 10"),
    "scores that are no numbers": (in_json(GOLDEN, scores=[[None] * 10] * 32), "scores must hold 10 finite"),
    "NaN": (in_json(GOLDEN, scores=[[float("nan")] * 10] * 32), "scores must hold 10 finite"),
    "huge scores": (in_json(GOLDEN, scores=[[10**400] * 10] * 32), "scores must hold 10 finite"),
    "other scores": (in_json(GOLDEN, scores=[[1.0] * 10] * 32), "golden outputs do not match"),
    "other items": (in_json(GOLDEN, items=[[*range(51, 61)]] * 32), "golden outputs do not match"),
    "a list": (with_bytes(GOLDEN, b"[]"), "does not hold a JSON object"),
    "deeply nested": (with_bytes(GOLDEN, b'{"a":' + b"[" * 200_000), "nested too deeply|not JSON"),
    "not UTF-8": (with_bytes(GOLDEN, b"\xff{}"), "not UTF-8"),
    "too large": (with_bytes(GOLDEN, b" " * (16 << 20) + b"{}"), "at most 16,777,216 are read"),
}

CONFIG_CASES: dict[str, tuple[Change, str]] = {
    "endless max_len": (in_json(CONFIG, max_len=10**9), r"max_len must be a whole number from 1 to 16,384"),
    "negative max_len": (in_json(CONFIG, max_len=-1), "max_len must be"),
    "fractional dim": (in_json(CONFIG, dim=16.5), "dim must be"),
    "dim as float": (in_json(CONFIG, dim=16.0), "dim must be"),
    "dim as text": (in_json(CONFIG, dim="16"), "dim must be"),
    "dim as flag": (in_json(CONFIG, dim=True), "dim must be"),
    "dim as list": (in_json(CONFIG, dim=[16]), "dim must be"),
    "endless dim": (in_json(CONFIG, dim=10**30), "dim must be"),
    "dropout NaN": (in_json(CONFIG, dropout=float("nan")), "dropout must be"),
    "unknown field": (in_json(CONFIG, code="import os"), "'code' is not a field"),
    "missing part": (without(CONFIG, "head"), "head must have a name"),
    "part as text": (in_json(CONFIG, encoder="cone"), "encoder must have a name"),
    "unknown part": (in_json(CONFIG, encoder={"name": "os.system", "options": {}}), "unknown encoder"),
    "further key of a part": (in_json(CONFIG, head={"name": "tied", "x": 1}), "and nothing else"),
    "endless layers": (in_part("encoder", layers=10**6), "more weights than the file|layers"),
    "endless list": (in_part("encoder", layers=10**9), r"encoder\.layers must be a number"),
    "negative layers": (in_part("encoder", layers=-3), r"encoder\.layers must be a number"),
    "fractional layers": (in_part("encoder", layers=2.5), "does not take these options"),
    "endless hidden": (in_part("encoder", hidden=10**6), "more weights than the file|shapes|size mismatch"),
    "unknown option": (in_part("encoder", speed=1), "does not take these options"),
    "nested option": (in_part("encoder", layers={"a": 1}), r"encoder\.layers must be a number"),
    "heads 0": (in_part("encoder", heads=0), "does not take these options"),
    "transitions": (in_json(CONFIG, transitions=64), "transitions"),
    "empty": (with_bytes(CONFIG, b""), "not JSON"),
}

MANIFEST_CASES: dict[str, tuple[Change, str]] = {
    "version with a path": (in_json(MANIFEST, version="../x"), r"\$\.version"),
    "version as number": (in_json(MANIFEST, version=3), r"\$\.version"),
    "preset as list": (in_json(MANIFEST, preset=[]), r"\$\.preset"),
    "size as text": (in_json(MANIFEST, files={GOLDEN: {"sha256": "0" * 64, "bytes": "12"}}), r"\$\.files"),
    "file with a path": (in_json(MANIFEST, files={"../a": {"sha256": "0" * 64, "bytes": 12}}), r"\$\.files"),
    "figures as text": (in_json(MANIFEST, figures={"ndcg@10": "high"}), r"\$\.figures"),
    "created as number": (in_json(MANIFEST, created=5), r"\$\.created"),
    "no figures": (without(MANIFEST, "figures"), "figures"),
    "format as text": (in_json(MANIFEST, format="1"), "format must be a number"),
    "not UTF-8": (with_bytes(MANIFEST, b"\xff"), "not UTF-8"),
    "deeply nested": (with_bytes(MANIFEST, b'{"a":' + b"[" * 200_000), "nested too deeply|not JSON"),
    "too large": (with_bytes(MANIFEST, b" " * (4 << 20) + b"{}"), "at most 4,194,304 are read"),
}

WEIGHTS_CASES: dict[str, tuple[str, Change, str]] = {
    "NaN": ("sasrec", in_weights(set_cell("embedding.vectors.weight", 100, np.nan)), "is not finite"),
    "infinite": ("sasrec", in_weights(set_cell("encoder.norm.bias", 0, np.inf)), r"encoder\.norm\.bias holds a number"),
    "other type": (
        "sasrec",
        in_weights(replace_array("encoder.norm.bias", lambda a: a.astype(np.float64))),
        "has dtype",
    ),
    "other shape": ("sasrec", in_weights(replace_array("encoder.norm.bias", lambda a: a[:-1])), "size mismatch"),
    "missing": ("sasrec", in_weights(lambda arrays: arrays.pop("encoder.norm.bias")), "Missing key"),
    "unknown": ("sasrec", in_weights(lambda arrays: arrays.update(x=np.zeros(3))), "Unexpected key"),
    "not a file of weights": ("sasrec", with_bytes(WEIGHTS, b"\x00" * 100), "not a safetensors file"),
    "follower outside": ("blossom", in_weights(set_cell("transitions.rows", 60, 255)), r"transitions\.rows holds item"),
    "scale 0": ("blossom", in_weights(set_cell("transitions.scale", 0, 0)), r"transitions\.scale must be above 0"),
    "network of the memory": (
        "blossom",
        in_weights(replace_array("transitions.normalizer_in", lambda _: np.zeros((7, 3), dtype=np.float32))),
        "normalizer has the shapes",
    ),
    "memory without dimensions": (
        "blossom",
        in_weights(replace_array("transitions.normalizer_out", lambda _: np.zeros(2, dtype=np.float32))),
        "size mismatch",
    ),
    "old gate of another length": (
        "blossom",
        in_weights(replace_array("transitions.gate", lambda _: np.zeros(90, dtype=np.float32))),
        "gate has 90 weights",
    ),
    "code behind the codebook": ("blossom", shrink_codebook, r"embedding\.kept holds code 63 of a codebook"),
    "category without a vector": (
        "lsan",
        in_weights(set_cell("embedding.categories.lists", 5, 200)),
        r"embedding\.categories\.lists holds rows",
    ),
    "negative popularity": ("popular", in_weights(set_cell("head.counts", 3, -1)), "counts must not be negative"),
}


ALL_CASES: dict[str, tuple[str, Change, str]] = {
    **{f"catalogue: {name}": ("sasrec", *case) for name, case in CATALOGUE_CASES.items()},
    **{f"golden: {name}": ("sasrec", *case) for name, case in GOLDEN_CASES.items()},
    **{f"config: {name}": ("blossom", *case) for name, case in CONFIG_CASES.items()},
    **{f"manifest: {name}": ("sasrec", *case) for name, case in MANIFEST_CASES.items()},
    **{f"weights: {name}": case for name, case in WEIGHTS_CASES.items()},
}
"""Preset of the artifact to change, the change, and a pattern of the error."""
