"""Progress: a bar on a terminal, plain lines elsewhere."""

import io
import re
import time

import pytest

from models import progress as module
from models.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def draw_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "REDRAW_EVERY_S", 0.0)
    monkeypatch.setenv("COLUMNS", "120")


def test_plain_lines_state_count_total_rate_and_note() -> None:
    stream = io.StringIO()
    with progress("train", 4, "batches", stream) as bar:
        bar.advance(note="loss 1.5")
        time.sleep(0.01)
        bar.advance(2)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("train: 1/4 batches, ")
    assert first.endswith("loss 1.5")
    assert second.startswith("train: 3/4 batches, ")
    assert "s left" in second
    assert "\x1b" not in stream.getvalue()


def test_unknown_total_has_no_remaining_time() -> None:
    stream = io.StringIO()
    with progress("dump", 0, "users", stream) as bar:
        bar.advance(16)
    assert stream.getvalue().startswith("dump: 16 users, ")
    assert "left" not in stream.getvalue()


@pytest.mark.parametrize("total", [0, 4])
def test_terminal_shows_a_bar_that_disappears(total: int) -> None:
    stream = Terminal()
    with progress("train [1/2]", total, "batches", stream) as bar:
        bar.advance(3, note="loss [bold]1.5")
        text = stream.getvalue()
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)
    assert "train [1/2]" in text
    assert f"3/{total or '?'} batches" in text
    assert "loss [bold]1.5" in text
    assert stream.getvalue().endswith("\x1b[2K"), "the line is erased"


def test_nothing_is_written_within_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 60.0)
    stream = io.StringIO()
    with progress("train", 4, "batches", stream) as bar:
        for _ in range(4):
            bar.advance()
    assert stream.getvalue() == ""
