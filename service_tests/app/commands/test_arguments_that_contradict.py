"""Options that would be ignored, or destroy an input, are refused; a message is bounded and printable."""

from pathlib import Path

import pytest

from app.commands.main import main
from service_tests.support.artifacts import write_tiny_artifact

LOG = "user_id,item_id,timestamp\nu,i1,1700000000\nu,i2,1700000001\n"


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only line of a command that fails and prints no result."""
    assert main(words) != 0
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line


@pytest.mark.parametrize("target", ["log.csv", "./log.csv", "logs/part.csv", "art/manifest.json"])
@pytest.mark.parametrize("command", ["vectors", "evaluate"])
def test_output_file_that_is_an_input_is_refused(
    command: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_artifact(tmp_path / "art", num_items=20)
    (tmp_path / "logs").mkdir()
    for path in ("log.csv", "logs/part.csv"):
        (tmp_path / path).write_text(LOG)
    before = (tmp_path / target).read_bytes()
    option = "--out" if command == "vectors" else "--report"
    line = run([command, "art", "log.csv", "logs", option, target], capsys)
    assert f"{option} {Path(target)} would overwrite an input of the command; choose another file" in line
    assert (tmp_path / target).read_bytes() == before


@pytest.mark.parametrize("words", [["recommend", "--history", "i1"], ["similar", "i1"]])
@pytest.mark.parametrize("option", ["--url", "--key"])
def test_artifact_and_a_service_are_not_asked_together(
    words: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = run([*words, "--artifact", str(tmp_path), option, "http://me:s3cret@host"], capsys)
    assert "leave out --url and --key" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("option", ["--columns", "--timezone"])
def test_empty_text_of_an_option_is_not_its_default(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    assert option in run(["inspect", str(tmp_path / "log.csv"), f"{option}="], capsys)


@pytest.mark.parametrize("value", ["x" * 10_000, "\x1b[31mred", "two\nlines"])
@pytest.mark.parametrize("option", ["--order", "--format", "--encoding", "--separator", "--timezone", "--columns"])
def test_message_about_a_value_is_bounded_and_printable(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    line = run(["inspect", str(tmp_path / "log.csv"), f"{option}={value}"], capsys)
    assert option in line
    assert line.isprintable()
    assert len(line) < 1_300


def test_escape_sequences_of_a_log_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text(LOG + "\x1b[31mu,i,1700000002\nu,\x1b]0;i,soon\x07\n")
    assert main(["inspect", str(tmp_path / "log.csv")]) == 0
    output = capsys.readouterr()
    assert "\x1b" not in output.out + output.err
    assert "\\u001b[31mu" in output.out.splitlines()[-1], "the JSON has the id itself"
