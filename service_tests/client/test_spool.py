"""The spool file of an event buffer: any prefix of it can be read, and it does not grow without bound."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.spool import COMPACTION_BYTES, EventKey, Spool

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30)


def write_event(number: int) -> tuple[EventKey, bytes]:
    event_id = f"é\n{number}"
    return ("ada", event_id), msgspec.json.encode({"user_id": "ada", "event_id": event_id})


def read_spool(path: Path) -> tuple[dict[EventKey, bytes], int]:
    spool = Spool(path)
    spool.close()
    return spool.pending, spool.damaged


@settings(max_examples=30)
@given(steps=STEPS, length=st.integers(0, 2000), tail=st.binary(max_size=30))
def test_damaged_tail_costs_only_its_record(steps: list[tuple[bool, int]], length: int, tail: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool = Spool(path)
        states: dict[int, dict[EventKey, bytes]] = {0: {}}
        pending: dict[EventKey, bytes] = {}
        for is_added, number in steps:
            key, payload = write_event(number)
            if is_added:
                spool.append(payload)
                pending[key] = payload
            elif pending.pop(key, None) is not None and pending:
                spool.settle([key], pending)
            elif not pending:
                spool.settle([key], pending)
                states = {}
            states[path.stat().st_size] = dict(pending)
        spool.close()
        content = path.read_bytes()[:length]
        complete = content[: content.rfind(b"\n") + 1]
        path.write_bytes(content + tail)
        expected = states[len(complete)]
        assert read_spool(path)[0] == expected
        assert read_spool(path) == (expected, 0), "the file is repaired when it is opened"


def test_damaged_record_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    for number in range(3):
        spool.append(write_event(number)[1])
    spool.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 50 + b"\n" + lines[1].replace(b"ada", b"bob") + lines[2])
    pending, damaged = read_spool(path)
    assert (list(pending), damaged) == ([write_event(0)[0], write_event(2)[0]], 2)


def test_file_is_rewritten_when_most_of_it_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    key, payload = write_event(1)
    spool.append(payload)
    large = msgspec.json.encode({"user_id": "ada", "event_id": "x", "type": "t" * 100_000})
    for _ in range(30):
        spool.append(large)
        spool.settle([("ada", "x")], {key: payload})
        assert path.stat().st_size <= COMPACTION_BYTES + len(large) + 100
    spool.close()
    assert read_spool(path) == ({key: payload}, 0)


def test_file_is_private(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").close()
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
