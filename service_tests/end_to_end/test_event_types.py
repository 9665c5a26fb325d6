"""Event types from a log through training, evaluation and extension to a service that compares its setting.

In the log every view is followed by another view of a walk, and now and then by a purchase of an item that depends on
the view alone. Impressions are of items that are never viewed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.commands.main import main
from models.artifact import load_artifact
from models.transitions.mixing import TransitionMixer
from service_tests.support.nextup_process import run_service

SMALL = ["--epochs", "2", "--dim", "16", "--max-len", "20", "--batch-cells", "512", "--threads", "1", "--keep-seen"]
USERS, STEPS, ITEMS = 60, 10, 12
TRAINED_TYPES = {"history": [], "entered": ["buy", "view"], "weights": {"buy": 1.0}, "target": "buy"}


def make_rows() -> list[str]:
    rows = []
    for user in range(USERS):
        time = 1_600_000_000
        for step in range(STEPS):
            item = (3 * user + step) % ITEMS
            events = [("View", f"v{item}"), ("impression", f"shown{item}")]
            if (user + step) % 3 == 0:
                events.append(("buy", f"b{item}"))
            for kind, name in events:
                rows.append(f"u{user},{name},{time},{kind}")
                time += 60
    return rows


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "shop.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp,type", *make_rows()]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose targets are purchases, with a transition memory."""
    out = tmp_path_factory.mktemp("trained") / "model"
    assert main(["train", str(log), "--out", str(out), "--event-types", "Buy=1", "--target-type", "buy", *SMALL]) == 0
    return out


def read_result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def test_impressions_enter_no_history_and_purchases_are_the_only_followers(trained: Path) -> None:
    artifact = load_artifact(trained, device="cpu")
    assert artifact.manifest["event_types"] == TRAINED_TYPES
    names = artifact.catalogue.item_ids
    assert {name.rstrip("0123456789") for name in names} == {"v", "b"}, "no item that was only shown"
    memory = artifact.predictor.model.transitions
    assert memory is not None
    for index, name in enumerate(names, 1):
        found_items = TransitionMixer(memory).find_followers([np.array([index])], np.zeros((1, 16), np.float32)).items
        followers = {names[item - 1] for item in found_items[0, 0, :-1].tolist() if item}
        assert all(follower.startswith("b") for follower in followers), name


def test_evaluation_is_on_the_last_purchase_and_equals_that_of_the_training(
    trained: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained), str(log), "--keep-seen"]) == 0
    result = read_result(capsys)
    assert result["target_type"] == "buy"
    assert result["users"] == USERS
    assert result["ndcg@10"] == pytest.approx(load_artifact(trained, device="cpu").manifest["figures"]["ndcg@10"])
    assert result["ndcg@10"] > 0.5, "the purchase follows from the view before it"


def test_extension_keeps_the_rules_of_the_training(trained: Path, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "extended"
    assert main(["extend", str(trained), str(log), "--recount", "--no-new-items", "--out", str(out)]) == 0
    before, after = load_artifact(trained, device="cpu"), load_artifact(out, device="cpu")
    assert after.manifest["event_types"] == TRAINED_TYPES
    counts = [artifact.predictor.model.transitions.rows[:, -1] for artifact in (before, after)]  # type: ignore[union-attr]
    assert int(counts[1].sum()) > int(counts[0].sum()), "held-out purchases count, too"
    views = [index for index, name in enumerate(after.catalogue.item_ids, 1) if name.startswith("v")]
    memory = after.predictor.model.transitions
    assert memory is not None
    followers = TransitionMixer(memory).find_followers([np.array([views[0]])], np.zeros((1, 16), np.float32)).items
    assert all(after.catalogue.item_id(i).startswith("b") for i in followers[0, 0, :-1].tolist() if i)


def test_history_types_leave_out_events_and_the_items_that_only_they_have(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--preset", "popular", "--target-type", "buy"]
    monkeypatch.setenv("NEXTUP_HISTORY_TYPES", "buy")
    assert main(["train", str(log), "--out", str(tmp_path / "setting"), *options]) == 0
    of_setting = read_result(capsys)
    assert of_setting["event_types"] == {"history": ["buy"], "entered": ["buy"], "weights": None, "target": "buy"}
    assert of_setting["items"] == ITEMS
    assert of_setting["funnel"]["dropped"][0]["rule"] == "NEXTUP_HISTORY_TYPES"
    assert main(["train", str(log), "--out", str(tmp_path / "option"), "--history-types", "buy, VIEW", *options]) == 0
    assert read_result(capsys)["event_types"]["entered"] == ["buy", "view"], "the option takes precedence"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--event-types", "buy"], "--event-types must be type=weight,… with weights from 0 to 1,000 (got 'buy')"),
        (["--event-types", "buy=-1"], "--event-types must be type=weight"),
        (["--event-types", "buy=nan"], "--event-types must be type=weight"),
        (["--event-types", "buy=0,view=0"], "--event-types must give at least one type a weight above 0"),
        (["--event-types", "buy=1,BUY=2"], "--event-types must name each type once (got 'BUY' twice)"),
        (
            ["--event-types", "order=1"],
            "--event-types gives no event of the log a weight above 0; its types are 'view'",
        ),
        (["--event-types", "impression=1"], "--event-types impression: events of this type enter no history"),
        (["--target-type", "order"], "--target-type order: no event of the log has this type; its types are 'view'"),
        (
            ["--target-type", "view", "--history-types", "buy"],
            "--target-type view: events of this type enter no history",
        ),
        (["--target-type", "a,b"], "--target-type must be one event type"),
        (["--history-types", "order"], "no event of the log enters a history by --history-types order"),
        (["--history-types", " , "], "--history-types must list 1 to 100 event types"),
    ],
)
def test_wrong_options_are_one_line_that_names_the_option(
    options: list[str], message: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(log), "--out", str(tmp_path / "out"), *options]) in (1, 2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"nextup: error: {message}")


@pytest.mark.parametrize("option", [["--event-types", "buy=1"], ["--target-type", "buy"], ["--history-types", "buy"]])
def test_log_without_types_is_refused_where_types_matter(
    option: list[str], log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(row.rpartition(",")[0] for row in log.read_text().splitlines()))
    assert main(["train", str(plain), "--out", str(tmp_path / "out"), *option]) == 1
    message = f"{option[0]} needs events with types, and the log has none; name their column: --columns type=…"
    assert message in capsys.readouterr().err


def test_evaluation_on_targets_of_the_training_part_is_refused(
    trained: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained), str(log), "--target-type", "view"]) == 1
    assert (
        "--target-type view: the artifact was trained with events of the type 'buy' held out" in capsys.readouterr().err
    )


def test_inspect_shows_the_types_of_a_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(log)]) == 0
    out = capsys.readouterr().out
    assert "its types are 'View' (600), 'impression' (600), 'buy' (200)" in out
    assert json.loads(out.splitlines()[-1])["types"][2] == {"type": "buy", "events": 200}


@pytest.mark.process
@pytest.mark.slow
def test_service_with_other_types_than_the_training_logs_a_warning(trained: Path, tmp_path: Path) -> None:
    warning = "NEXTUP_HISTORY_TYPES lets other event types into histories than the model was trained with"
    with run_service(tmp_path / "a", "--artifact", str(trained), NEXTUP_HISTORY_TYPES="buy") as service:
        pass
    (line,) = [line for line in service.output if warning in line]
    assert "'view' entered those of its training and cannot enter these; unset NEXTUP_HISTORY_TYPES" in line


def test_weights_of_an_interrupted_run_must_be_repeated(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "training").mkdir(parents=True)
    command = ["train", str(log), "--out", str(out), *SMALL]
    (out / "training" / "checkpoint.pt").write_bytes(b"x")
    (out / "training" / "run.json").write_text(json.dumps({"event_types": "buy=1", "target_type": None}))
    assert main([*command, "--resume", "--event-types", "buy=2"]) == 1
    assert "was started with --event-types buy=1 (got --event-types buy=2)" in capsys.readouterr().err
