"""One line for people about an error that ended a command: state, cause and action.

Errors of libraries are recognized by their classes' modules, so that no library is imported for a message.
"""

import errno
import os
from collections.abc import Iterator

from pydantic import ValidationError

from app.errors import ServiceError
from app.redaction import redact_text
from app.runtime.subprocesses import ChildFailed

MAX_LENGTH = 1_000
OS_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.EACCES: "check the permissions, or choose another path",
    errno.EPERM: "check the permissions, or choose another path",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "name a file instead of a folder",
    errno.EEXIST: "choose another path",
    errno.ENOTEMPTY: "choose an empty folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ENOMEM: "free some memory",
    errno.EIO: "check the disk",
    errno.EADDRINUSE: "stop the other process, or choose another port",
}
OUT_OF_MEMORY = "use smaller batches (--batch-cells), a smaller model (--dim, --max-len) or a machine with more memory"
RUNTIME_ADVICE = (
    (("out of memory", "can't allocate memory", "not enough memory", "bad_alloc"), OUT_OF_MEMORY),
    (("failed writing file", "unexpected pos", "file write failed"), "check the free space of the disk"),
    (("no kernel image", "CUDA error", "cuda runtime", "NVIDIA driver", "CUDA driver"), "try --device cpu"),
    (("PytorchStreamReader", "zip archive"), "the file is damaged or incomplete; remove it"),
)
REPORT_ADVICE = "set NEXTUP_TRACEBACK=1 for the details"
LIBRARY_ADVICE = {
    "polars": "check the file and --columns",
    "safetensors_rust": "check the file and the free space of the disk",
    "redis": "check NEXTUP_REDIS_URL",
    "httpx": "check the URL",
    "zipfile": "the file is damaged or incomplete; export it again",
    "zlib": "the file is damaged or incomplete; export it again",
    "_pickle": "the file is damaged or incomplete; remove it",
    "binascii": "check the file",
}


def describe_failure(error: BaseException) -> str | None:
    """Describe an error in one line without secrets; None for an error that only a fault of the program explains.

    An error inside a task group is described by the first one that can be, and by how many others there are.
    """
    if isinstance(error, BaseExceptionGroup):
        lines = [describe_failure(member) for member in _iter_errors(error)]
        distinct_lines = list(dict.fromkeys(line for line in lines if line is not None))
        if not distinct_lines or None in lines:
            return None
        more = f" (and {len(distinct_lines) - 1} more errors)" if len(distinct_lines) > 1 else ""
        return distinct_lines[0] + more
    text = _describe(error)
    return None if text is None else redact_text(" ".join(text.split()))[:MAX_LENGTH]


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system with the file and what to do about it."""
    files = " and ".join(str(file) for file in (error.filename, error.filename2) if file is not None)
    return f"{f'{files}: ' if files and error.errno is not None else ''}{describe_reason(error)}"


def describe_reason(error: OSError) -> str:
    """Describe an error of the operating system and what to do about it, without the file."""
    if error.errno is None:
        return str(error) or type(error).__name__
    advice = OS_ADVICE.get(error.errno)
    return f"{error.strerror or os.strerror(error.errno)}{f'; {advice}' if advice else ''}"


def _describe(error: BaseException) -> str | None:
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    library = type(error).__module__.partition(".")[0]
    if isinstance(error, OSError) and library not in ("httpx", "redis"):
        return describe_os_error(error)
    if library in LIBRARY_ADVICE:
        return f"{str(error).partition(chr(10))[0] or type(error).__name__}; {LIBRARY_ADVICE[library]}"
    if isinstance(error, (ValueError, ServiceError)):
        return str(error)
    if isinstance(error, OverflowError):
        return f"a number is too large: {error}; pass a smaller one"
    if isinstance(error, MemoryError):
        return f"this machine has too little free memory; {OUT_OF_MEMORY}"
    if isinstance(error, EOFError):
        return f"a file ends too early: {error}; it is damaged or incomplete, export it again"
    if isinstance(error, ImportError):
        return f"{error}; install the package, or nextup again"
    if isinstance(error, RuntimeError):
        return _describe_runtime_error(error)
    return None


def _describe_runtime_error(error: RuntimeError) -> str | None:
    """Errors of torch and of child processes; None for those of Python itself, such as a recursion without end."""
    if isinstance(error, (RecursionError, NotImplementedError)):
        return None
    text = str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    for parts, advice in RUNTIME_ADVICE:
        if any(part.lower() in text.lower() for part in parts):
            return f"{lines[0]}; {advice}"
    if isinstance(error, ChildFailed):  # the last line of a child's output is usually its error
        return f"{lines[0]} {lines[-1] if len(lines) > 1 else ''}"
    return f"{lines[0]}; {REPORT_ADVICE}"


def _iter_errors(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _iter_errors(member)
    else:
        yield error
