"""Trainings and evaluations with the times of requests, on the command line."""

from pathlib import Path

import pytest

from service_tests.end_to_end.test_baselines_and_splits import SMALL, Capture, parse_last_line, run, write_log

pytestmark = pytest.mark.slow


def test_evaluation_with_request_times_needs_a_model_that_reads_them(tmp_path: Path, capsys: Capture) -> None:
    log, timed, untimed = write_log(tmp_path), tmp_path / "timed", tmp_path / "untimed"
    assert run("train", log, "--out", timed, *SMALL, "--periods", 4, "--request-times") == 0
    trained = parse_last_line(capsys.readouterr().out)
    assert run("train", log, "--out", untimed, *SMALL) == 0
    capsys.readouterr()
    assert run("evaluate", timed, log) == 0
    without = parse_last_line(capsys.readouterr().out)
    assert (without["request_times"], without["ndcg@20"]) == (False, trained["ndcg@20"])
    assert run("evaluate", timed, log, "--request-times") == 0
    assert parse_last_line(capsys.readouterr().out)["request_times"] is True
    assert run("evaluate", untimed, log, "--request-times") == 1
    assert "untimed does not read request times; leave out --request-times, or train it" in capsys.readouterr().err
