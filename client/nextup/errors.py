"""Errors of the client.

NextupError
├── ServiceError            the service answered with a problem (RFC 9457)
│   ├── InvalidRequest      422 and 413: `errors` names the fields
│   ├── Unauthorized        401: no API key, or an unknown one
│   ├── Forbidden           403: the API key lacks the scope
│   ├── NotFound            404
│   ├── Conflict            409: the history is behind, or a version or an experiment is in the way
│   ├── TooManyRequests     429: `retry_after_s`
│   ├── Unavailable         502 and 503: overloaded, draining, or a dependency is away; `retry_after_s`
│   └── ServiceTimeout      408 and 504: the service ran into its own deadline, or that of the request
├── ConnectionFailed        no answer: refused, reset, or none in time
├── DeadlineExceeded        the deadline of the call passed; `cause` is the error of the last try
├── UnreadableAnswer        an answer that is none of this service
└── SpoolUnusable           the file of an event buffer cannot be used
"""

from typing import ClassVar

import msgspec

from nextup.models import FieldProblem, Problem

MAX_TEXT = 200
"""Characters of a foreign answer that an error quotes."""


class NextupError(Exception):
    """Base of all errors of the client."""


class ServiceError(NextupError):
    """A problem that the service answered with; `problem` has all of its fields."""

    statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(self, request: str, problem: Problem, retry_after_s: float | None = None) -> None:
        self.request = request
        self.problem = problem
        self.retry_after_s = retry_after_s
        detail = problem.detail or problem.title
        super().__init__(f"{request} is answered {problem.status}: {detail} (request {problem.request_id})")

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def type(self) -> str:
        """Name of the problem, such as `urn:nextup:problem:not-found`, which never changes."""
        return self.problem.type

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def request_id(self) -> str:
        """Id of the request, as in the log of the service."""
        return self.problem.request_id

    @property
    def errors(self) -> list[FieldProblem]:
        """The invalid fields."""
        return self.problem.errors


class InvalidRequest(ServiceError):
    statuses = (413, 422)


class Unauthorized(ServiceError):
    statuses = (401,)


class Forbidden(ServiceError):
    statuses = (403,)


class NotFound(ServiceError):
    statuses = (404,)


class Conflict(ServiceError):
    statuses = (409,)


class TooManyRequests(ServiceError):
    statuses = (429,)


class Unavailable(ServiceError):
    statuses = (502, 503)


class ServiceTimeout(ServiceError):
    statuses = (408, 504)


class ConnectionFailed(NextupError):
    """No answer came; `was_sent` is false if the request cannot have reached the service."""

    def __init__(self, request: str, request_id: str, cause: Exception, *, was_sent: bool) -> None:
        self.request_id = request_id
        self.was_sent = was_sent
        reason = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
        super().__init__(f"{request} got no answer: {reason}; check the address and the service (request {request_id})")


class DeadlineExceeded(NextupError):
    """The deadline of a call passed, in a try or before the next one."""

    def __init__(self, request: str, request_id: str, deadline_s: float, cause: Exception | None = None) -> None:
        self.request_id = request_id
        self.cause = cause
        reason = "" if cause is None else f"; the last try failed: {cause}"
        super().__init__(f"{request} missed its deadline of {deadline_s:g} s{reason} (request {request_id})")


class UnreadableAnswer(NextupError):
    """An answer without the expected fields; the address may be that of another service."""

    def __init__(self, request: str, status: int, reason: str, request_id: str) -> None:
        self.status = status
        self.request_id = request_id
        super().__init__(
            f"{request} is answered {status} with a body that cannot be read: {reason}; "
            f"check the address, and the versions of client and service (request {request_id})"
        )


class SpoolUnusable(NextupError):
    """The spool file cannot be opened; the text names it."""


_CLASSES = {status: kind for kind in ServiceError.__subclasses__() for status in kind.statuses}


def build_service_error(
    request: str, status: int, content: bytes, request_id: str, retry_after_s: float | None
) -> NextupError:
    """Build the error of an answer that is no success; a proxy may have sent it, without a problem."""
    kind = _CLASSES.get(status, ServiceError)
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if kind is ServiceError:
            text = content[:MAX_TEXT].decode("utf-8", "replace")
            return UnreadableAnswer(request, status, f"{text!r} is no problem (RFC 9457)", request_id)
        problem = Problem(
            type="about:blank",
            title=kind.__name__,
            status=status,
            detail="the answer does not come from nextup; check the proxy in front of it",
            request_id=request_id,
            errors=[],
        )
    return kind(request, problem, retry_after_s)
