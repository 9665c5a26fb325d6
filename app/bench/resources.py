"""CPU time and memory of a process tree, read from /proc; None on systems without it. Shared memory counts once."""

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes of several processes together, as Linux accounts them.

    `pss`: a page mapped by n processes counts 1/n in each, so the sum is their total, minus shares of other processes.
    `uss`: pages that no other process maps, which would be freed. `rss`: shared pages count once per process.
    """

    pss: int
    uss: int
    rss: int


@dataclass(frozen=True, slots=True)
class ResidentMemory:
    """Resident bytes of several processes together, independent of other processes that map the same files.

    `own`: anonymous pages of all processes. `mapped`: file pages, each counted once. If no other process maps those
    files, the sum of both equals `ProcessMemory.pss`.
    """

    own: int
    mapped: int

    @property
    def total(self) -> int:
        return self.own + self.mapped


def list_process_tree(pid: int) -> list[int]:
    """List the process and its live descendants; empty if it has ended, or without /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended meanwhile
            children.setdefault(int(_read_stat_fields(stat)[1]), []).append(int(stat.parent.name))
    if not Path(f"/proc/{pid}/stat").exists():
        return []
    tree, pending = [], [pid]
    while pending:
        tree.append(pending.pop())
        pending += children.get(tree[-1], [])
    return tree


def read_cpu_seconds(pid: int) -> float | None:
    """Return user and system time of a process and its live descendants; None without /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = []
    for member in list_process_tree(pid):
        with suppress(OSError):
            fields = _read_stat_fields(Path(f"/proc/{member}/stat"))
            seconds.append((int(fields[11]) + int(fields[12])) / ticks)
    return sum(seconds) if seconds else None


def read_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of a process and its live descendants; None without /proc."""
    members = [memory for member in list_process_tree(pid) if (memory := read_process_memory(member))]
    pss, uss, rss = (sum(getattr(memory, name) for memory in members) for name in ("pss", "uss", "rss"))
    return ProcessMemory(pss, uss, rss) if rss else None


def read_process_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of one process; None if it has ended, or without /proc."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    if len(lines) < 2:  # a process that has ended and is not awaited yet
        return None
    sizes = {words[0]: int(words[1]) * KIB for words in map(str.split, lines[1:])}
    return ProcessMemory(sizes["Pss:"], sizes["Private_Clean:"] + sizes["Private_Dirty:"], sizes["Rss:"])


def read_resident(pid: int) -> ResidentMemory | None:
    """Return the resident memory of a process and its live descendants; None without /proc.

    For a file that several processes map, only the process with most of its pages counts: the others map nearly the
    same pages.
    """
    own, mapped = 0, dict[str, int]()
    for member in list_process_tree(pid):
        with suppress(OSError):
            file_bytes, anonymous_bytes = _read_mappings(member)
            own += anonymous_bytes
            mapped |= {name: max(size, mapped.get(name, 0)) for name, size in file_bytes.items()}
    return ResidentMemory(own, sum(mapped.values())) if own else None


def _read_mappings(pid: int) -> tuple[dict[str, int], int]:
    """Return the resident bytes of each mapped file, and of anonymous pages."""
    file_bytes: dict[str, int] = defaultdict(int)
    anonymous_bytes = resident = 0
    name = ""
    for words in map(str.split, Path(f"/proc/{pid}/smaps").read_text().splitlines()):
        if not words[0].endswith(":"):
            name = " ".join(words[3:5] if words[4] != "0" else words[5:])  # device and inode identify a file
        elif words[0] == "Rss:":
            resident = int(words[1]) * KIB
        elif words[0] == "Anonymous:":
            anonymous_bytes += (anonymous := int(words[1]) * KIB)
            file_bytes[name] += resident - anonymous
    return file_bytes, anonymous_bytes


def _read_stat_fields(stat: Path) -> list[str]:
    """Return the fields after the process name, which may contain anything: state ppid … utime (12th) stime (13th)."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()
