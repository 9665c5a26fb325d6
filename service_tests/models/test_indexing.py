"""`nextup index` and loading: an index is built, measured, verified and used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from app.commands.main import main
from models.artifact import ArtifactError, load_artifact, save_artifact
from models.embeddings.codes import CodesEmbedding
from models.native.library import load_library
from models.scorers.ann.ivf import has_faiss
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model, write_tiny_artifact

pytestmark = pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
NUM_ITEMS = 600
KINDS = [("sasrec", "inverted lists", "ivf")]
if load_library() is not None:
    KINDS.append(("blossom", "lists of codes", "native lists"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [(f"u{n % 50}", f"i{item}", n) for n, item in enumerate(rng.integers(1, NUM_ITEMS + 1, 400))]
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(path)
    return path


def write_clustered_artifact(folder: Path, preset: str) -> Path:
    """Place items around twenty centroids."""
    catalogue = tiny_catalogue(NUM_ITEMS)
    model = tiny_model(tiny_config(preset), catalogue)
    rng = np.random.default_rng(0)
    centroids = rng.normal(size=(20, model.config.dim)).astype(np.float32)
    around = torch.from_numpy(centroids[rng.integers(0, 20, NUM_ITEMS)])
    with torch.no_grad():
        table = model.embedding.table()
        if isinstance(model.embedding, CodesEmbedding):
            model.embedding.approximate(torch.nn.functional.pad(0.1 * table[1:] + around, (0, 0, 1, 0)), catalogue)
        else:
            table[1:] = 0.1 * table[1:] + around
    save_artifact(folder, model, catalogue, golden_histories=[np.array([1, 2])], metrics={})
    return folder


@pytest.mark.parametrize(("preset", "kind", "scorer"), KINDS)
def test_index_is_measured_written_and_used(
    preset: str, kind: str, scorer: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_clustered_artifact(tmp_path / "artifact", preset)
    exact = load_artifact(folder, device="cpu")
    report: dict[str, Any] = {}
    for _ in range(2):  # the second run replaces the index
        assert main(["index", str(folder), str(log), "--min-items", "100", "--queries", "20"]) == 0
        report = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert report["version"] == exact.version
        assert report["index"]["recall@10"] >= 0.99
        assert report["index"]["queries"] == 20
        assert report["index"]["kind"] == kind
    artifact = load_artifact(folder, device="cpu")
    scoring = artifact.predictor.scoring
    assert scoring["small"] == scoring["large"]
    assert isinstance(scoring["small"], dict)
    assert scoring["small"].items() >= ({"name": scorer, "exact": False} | report["index"]).items()
    history = [np.array([3, 5, 8])]
    top, expected = (each.predictor.top_k(history, 10, excluded=history) for each in (artifact, exact))
    np.testing.assert_allclose(top.scores, expected.scores, rtol=1e-5)

    content = bytearray((folder / "neighbours.ivf").read_bytes())
    content[-1] ^= 1
    (folder / "neighbours.ivf").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"neighbours\.ivf"):
        load_artifact(folder, device="cpu")


def test_small_catalogue_is_rejected(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", num_items=NUM_ITEMS)
    assert main(["index", str(folder), str(log)]) == 1
    assert "1,000,000" in capsys.readouterr().err


def test_model_without_inner_products_gets_no_index(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", preset="popular", num_items=NUM_ITEMS)
    assert main(["index", str(folder), str(log), "--min-items", "100"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["passed"] is False
    assert not (folder / "neighbours.ivf").exists()


def test_index_missing_from_the_manifest_error_names_the_file(log: Path, tmp_path: Path) -> None:
    folder = write_clustered_artifact(tmp_path / "artifact", "sasrec")
    assert main(["index", str(folder), str(log), "--min-items", "100", "--queries", "20"]) == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["index"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"neighbours\.ivf .*KeyError"):
        load_artifact(folder, device="cpu")
