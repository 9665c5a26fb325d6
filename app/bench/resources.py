"""What a process and all below it use: processor time, and memory that is counted once though they share it.

Knows /proc, and says None where there is none.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes together.

    `pss`: a page that n processes map counts 1/n in each, so the sum is what they take, but for what others share.
    `uss`: pages that nobody else maps: what would be free if they ended. `rss`: shared pages once per process.
    """

    pss: int
    uss: int
    rss: int


def process_tree(pid: int) -> list[int]:
    """The process and all below it that live; nothing if it does not, or without /proc."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            below.setdefault(int(_fields(stat)[1]), []).append(int(stat.parent.name))
    if not Path(f"/proc/{pid}/stat").exists():
        return []
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += below.get(found[-1], [])
    return found


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process and all below it that live; None where there is no /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent = []
    for one in process_tree(pid):
        with suppress(OSError):
            fields = _fields(Path(f"/proc/{one}/stat"))
            spent.append((int(fields[11]) + int(fields[12])) / ticks)
    return sum(spent) if spent else None


def memory_of(pid: int) -> Memory | None:
    """Of a process and all below it that live; None where there is no /proc."""
    pss = uss = rss = 0
    for one in process_tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            sizes = {words[0]: int(words[1]) * KIB for words in map(str.split, lines[1:])}
            pss += sizes["Pss:"]
            uss += sizes["Private_Clean:"] + sizes["Private_Dirty:"]
            rss += sizes["Rss:"]
    return Memory(pss, uss, rss) if rss else None


def _fields(stat: Path) -> list[str]:
    """After the name, which may hold anything: state ppid … utime stime, the 12th and 13th."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()
