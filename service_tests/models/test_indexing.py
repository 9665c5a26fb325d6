"""`nextup index` and loading: an index is built, measured, verified and used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.commands.main import main
from models.artifact import ArtifactError, load_artifact
from models.native.library import load_library
from models.scorers.ann.ivf import has_faiss
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.clustered_artifacts import NUM_ITEMS, write_clustered_artifact

pytestmark = pytest.mark.skipif(not has_faiss(), reason="faiss is not installed: pip install 'nextup[ann]'")
KINDS = [("sasrec", "inverted lists", "ivf")]
if load_library() is not None:
    KINDS.append(("blossom", "lists of codes", "native lists"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [(f"u{n % 50}", f"i{item}", n) for n, item in enumerate([1, *rng.integers(1, NUM_ITEMS + 1, 400)])]
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(path)
    return path


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


@pytest.mark.parametrize("num_items", [1, 3, 8, 15])
@pytest.mark.parametrize("preset", ["sasrec", "blossom"])
def test_catalogue_with_fewer_items_than_lists_gets_no_index(
    num_items: int, preset: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", preset=preset, num_items=num_items)
    assert main(["index", str(folder), str(log), "--min-items", "0"]) == 1
    output = capsys.readouterr()
    assert "no index built: there are fewer than 16 items" in output.out
    assert "faiss" not in output.err
    assert "nextup: error" not in output.err


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
