"""One line about any error: the cause, the file and what to do, without a secret and without a traceback."""

import errno
import zipfile

import polars as pl
import pytest
import torch
from pydantic import BaseModel, ValidationError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.cli.failures import describe_failure
from app.errors import StoreUnavailable
from app.runtime.subprocesses import ChildFailed


def catch_validation_error() -> ValidationError:
    class Body(BaseModel):
        key: int

    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"key": "s3cret"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("--k must be at least 1 (got 0)"), "--k must be at least 1 (got 0)"),
        (StoreUnavailable("Redis does not answer"), "Redis does not answer"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: No space left on device; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "x: Permission denied; check the permissions"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "a and b: Invalid cross-device link"),
        (FileNotFoundError("no file matches x*"), "no file matches x*"),
        (TimeoutError(), "TimeoutError"),
        (MemoryError(), "too little free memory; use smaller batches"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"), "2 GiB.; use smaller batches"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "use smaller batches"),
        (RuntimeError("CUDA error: no kernel image is available\nCUDA kernel errors…"), "available; try --device cpu"),
        (RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 64"), "check the free space"),
        (RuntimeError("shapes differ\n  at line"), "shapes differ; set NEXTUP_TRACEBACK=1"),
        (ChildFailed("m ended with status 1; the end of its output:\nTraceback\nKeyError: 1"), "output: KeyError: 1"),
        (pl.exceptions.ComputeError("could not parse\nat 3"), "could not parse; check the file and --columns"),
        (zipfile.BadZipFile("File is not a zip file"), "not a zip file; the file is damaged or incomplete"),
        (EOFError("Compressed file ended"), "a file ends too early"),
        (ModuleNotFoundError("No module named 'faiss'"), "No module named 'faiss'; install the package"),
        (RedisConnectionError("Error 111 at redis://:s3cret@h"), "redis://***@h; check NEXTUP_REDIS_URL"),
        (catch_validation_error(), "key: Input should be a valid integer"),
        (ValueError("two\n  lines"), "two lines"),
    ],
)
def test_error_is_described_in_one_line_with_what_to_do(error: Exception, expected: str) -> None:
    line = describe_failure(error)
    assert line is not None
    assert expected in line
    assert "\n" not in line
    assert "s3cret" not in line


def test_errors_inside_task_groups_are_described_by_the_first_one() -> None:
    lost = StoreUnavailable("Redis does not answer")
    full = OSError(errno.ENOSPC, "No space left on device")
    group = ExceptionGroup("tasks", [lost, ExceptionGroup("inner", [StoreUnavailable("Redis does not answer"), full])])
    assert describe_failure(group) == "Redis does not answer (and 1 more errors)"
    assert describe_failure(ExceptionGroup("tasks", [lost])) == "Redis does not answer"


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), TypeError("x"), RecursionError()])
def test_fault_of_the_program_is_not_described(error: Exception) -> None:
    assert describe_failure(error) is None
    assert describe_failure(ExceptionGroup("tasks", [ValueError("x"), error])) is None
