"""The file of dead letters: complete lines, bounded, private, and whole again after a crash."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from app.streaming.dead_letters import MIN_FILE_BYTES, DeadLetterFile
from app.streaming.messages import MAX_MESSAGE_BYTES, Message


def make_message(offset: int, value: bytes | None = b"junk") -> Message:
    return Message(value, "kafka:events", "2", str(offset))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode().splitlines()]


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetterFile:
    return DeadLetterFile(tmp_path / "folder" / "letters.jsonl", MIN_FILE_BYTES)


def test_line_has_reason_source_position_and_value(letters: DeadLetterFile) -> None:
    letters.write([(make_message(7), "no JSON"), (make_message(8, None), "no value")])
    letters.write([(make_message(9, b"\xff" + "é\n".encode()), "no text")])
    lines = read_lines(letters.path)
    assert [line["reason"] for line in lines] == ["no JSON", "no value", "no text"]
    assert {(line["source"], line["partition"]) for line in lines} == {("kafka:events", "2")}
    assert [line["offset"] for line in lines] == ["7", "8", "9"]
    assert [line["value"] for line in lines] == ["junk", None, "\\xffé\n"]
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600


def test_value_that_is_too_long_is_cut_and_its_length_stated(letters: DeadLetterFile) -> None:
    letters.write([(make_message(1, b"x" * (MAX_MESSAGE_BYTES + 5)), "too long")])
    (line,) = read_lines(letters.path)
    assert (len(line["value"]), line["value_bytes"]) == (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 5)


def test_files_stay_within_the_limit_and_hold_the_newest_lines(letters: DeadLetterFile) -> None:
    for offset in range(60):
        letters.write([(make_message(offset, b"x" * 50_000), "too long")])
    size = letters.path.stat().st_size + letters.previous_path.stat().st_size
    assert MIN_FILE_BYTES / 2 < size <= MIN_FILE_BYTES
    offsets = [int(line["offset"]) for path in (letters.previous_path, letters.path) for line in read_lines(path)]
    assert offsets == list(range(60 - len(offsets), 60))
    assert {path.name for path in letters.path.parent.iterdir()} == {
        "letters.jsonl",
        "letters.jsonl.1",
        "letters.jsonl.lock",
    }


def test_line_that_a_crash_cut_off_does_not_damage_the_next(letters: DeadLetterFile) -> None:
    letters.write([(make_message(1), "first")])
    with letters.path.open("ab") as file:
        file.write(b'{"time": "20')
    letters.write([(make_message(2), "second")])
    first, torn, second = letters.path.read_text().splitlines()
    assert (json.loads(first)["offset"], json.loads(second)["offset"]) == ("1", "2")
    assert torn == '{"time": "20'
