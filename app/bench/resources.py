"""What a process and all below it use: processor time, and memory that is counted once though they share it.

Knows /proc, and says None where there is none.
"""

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of some processes together.

    `pss`: a page that n processes map counts 1/n in each, so the sum is what they take, but for what others share.
    `uss`: pages that nobody else maps: what would be free if they ended. `rss`: shared pages once per process.
    """

    pss: int
    uss: int
    rss: int


@dataclass(frozen=True, slots=True)
class ResidentMemory:
    """Bytes that some processes take together, whoever else maps the same files.

    `own`: pages that are no file's, of all of them. `mapped`: pages of files, each counted once though several of them
    map it. On a machine where nobody else maps those files, the sum of both is what `ProcessMemory.pss` says.
    """

    own: int
    mapped: int

    @property
    def total(self) -> int:
        return self.own + self.mapped


def list_process_tree(pid: int) -> list[int]:
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


def read_cpu_seconds(pid: int) -> float | None:
    """User and system time of a process and all below it that live; None where there is no /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent = []
    for one in list_process_tree(pid):
        with suppress(OSError):
            fields = _fields(Path(f"/proc/{one}/stat"))
            spent.append((int(fields[11]) + int(fields[12])) / ticks)
    return sum(spent) if spent else None


def read_memory(pid: int) -> ProcessMemory | None:
    """Of a process and all below it that live; None where there is no /proc."""
    pss = uss = rss = 0
    for one in list_process_tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            sizes = {words[0]: int(words[1]) * KIB for words in map(str.split, lines[1:])}
            pss += sizes["Pss:"]
            uss += sizes["Private_Clean:"] + sizes["Private_Dirty:"]
            rss += sizes["Rss:"]
    return ProcessMemory(pss, uss, rss) if rss else None


def read_resident(pid: int) -> ResidentMemory | None:
    """Of a process and all below it that live; None where there is no /proc.

    Of a file that several map, the pages of the process that has most of them count: they hardly have others.
    """
    own, most = 0, dict[str, int]()
    for one in list_process_tree(pid):
        with suppress(OSError):
            pages_of, anonymous = _pages_of(one)
            own += anonymous
            most |= {name: max(size, most.get(name, 0)) for name, size in pages_of.items()}
    return ResidentMemory(own, sum(most.values())) if own else None


def _pages_of(pid: int) -> tuple[dict[str, int], int]:
    """Resident bytes of each file that it maps, and of pages that are no file's."""
    pages_of: dict[str, int] = defaultdict(int)
    anonymous = resident = 0
    name = ""
    for words in map(str.split, Path(f"/proc/{pid}/smaps").read_text().splitlines()):
        if not words[0].endswith(":"):
            name = " ".join(words[3:5] if words[4] != "0" else words[5:])  # device and inode, if it is a file
        elif words[0] == "Rss:":
            resident = int(words[1]) * KIB
        elif words[0] == "Anonymous:":
            anonymous += (own := int(words[1]) * KIB)
            pages_of[name] += resident - own
    return pages_of, anonymous


def _fields(stat: Path) -> list[str]:
    """After the name, which may hold anything: state ppid … utime stime, the 12th and 13th."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()
