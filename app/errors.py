"""Every error that the service reports to its callers, and the only map from an error to an HTTP status.

ServiceError
├── InvalidRequest 422        a field is wrong in a way that the schema cannot express
├── Unauthorized 401          no API key, or an unknown one
├── Forbidden 403             the API key lacks the scope
├── NotFound 404              no such item, user or version
├── RequestTimeout 408        the request was not received in time; the connection is closed
├── ContentTooLarge 413       the body exceeds NEXTUP_MAX_BODY_BYTES
├── UnsupportedMediaType 415  the body is not JSON, or compressed
├── MisdirectedRequest 421    the service does not serve this host
├── HeadTooLarge 431          line and headers exceed NEXTUP_MAX_HEAD_BYTES; the connection is closed
├── HistoryBehind 409         the store has not reached min_history_version
├── ArtifactRejected 409      the version fails to load or its golden outputs do not match
├── ActivationInProgress 409  another version is being loaded; Retry-After
├── VersionNotInMemory 409    a request names a version that is not in memory, or that did not answer
├── ExperimentConflict 409    another experiment runs, or this one cannot be changed in this way
├── DamagedHistory 500        the stored values of a user cannot be read; erase the user
├── TooManyRequests 429       the API key exceeds its rate limit; Retry-After
├── Overloaded 503            the queue is full or the deadline cannot be met; Retry-After
├── Draining 503              the service is shutting down; Retry-After
├── StoreUnavailable 503      Redis does not respond; Retry-After
├── ModelUnavailable 503      the model process does not respond; Retry-After
└── DeadlineExceeded 504      the deadline passed before the answer was ready

413, 415 and 421 are decided on the head of a request in `app/http/request_checks.py`, 408 and 431 before that, in
`app/http/protocols.py`. `app/http/problems.py` turns errors into responses (problem+json).
"""

import re
from collections.abc import Mapping, Sequence

_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)*")
"""Folders in front of the name of a file or of an artifact."""
_ADDRESSES = re.compile(r"\b[\w.-]+:\d{2,5}\b|\[[0-9a-fA-F:]+\](?::\d+)?|\b\d+(?:\.\d+){3}\b|\bhost=[^\s,)>]+")

FieldError = Mapping[str, str]
"""An invalid field: its path as `field`, the reason as `detail`."""


class ServiceError(Exception):
    """Base of all errors: a class fixes `status` and `title`, and has defaults for `detail` and `retry_after_s`."""

    status = 500
    title = "Internal error"
    detail = ""
    retry_after_s: float | None = None

    def __init__(self, detail: str | None = None, retry_after_s: float | None = None) -> None:
        if detail is not None:
            self.detail = detail
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        super().__init__(self.detail)

    @property
    def public_detail(self) -> str:
        """`detail` as callers see it; the log has all of it."""
        return self.detail


class InvalidRequest(ServiceError):
    """`errors` lists the invalid fields."""

    status, title = 422, "Invalid request"
    errors: Sequence[FieldError] = ()

    @classmethod
    def for_field(cls, field: str, reason: str) -> "InvalidRequest":
        return cls.for_fields([{"field": field, "detail": reason}], f"{field}: {reason}")

    @classmethod
    def for_fields(cls, errors: Sequence[FieldError], detail: str) -> "InvalidRequest":
        error = cls(detail)
        error.errors = errors
        return error


class Unauthorized(ServiceError):
    status, title = 401, "Unauthorized"


class Forbidden(ServiceError):
    status, title = 403, "Forbidden"


class NotFound(ServiceError):
    status, title = 404, "Not found"


class RequestTimeout(ServiceError):
    status, title = 408, "Request timeout"


class HeadTooLarge(ServiceError):
    status, title = 431, "Request head too large"


class ContentTooLarge(ServiceError):
    status, title = 413, "Content too large"

    @classmethod
    def for_limit(cls, max_bytes: int) -> "ContentTooLarge":
        return cls(f"the request body must not exceed {max_bytes} bytes (NEXTUP_MAX_BODY_BYTES)")


class UnsupportedMediaType(ServiceError):
    status, title = 415, "Unsupported media type"


class MisdirectedRequest(ServiceError):
    status, title = 421, "Misdirected request"


class HistoryBehind(ServiceError):
    status, title = 409, "History is behind"


class LocalError(ServiceError):
    """An error whose text may name files and hosts of this installation: callers see no folders and addresses."""

    @property
    def public_detail(self) -> str:
        return _ADDRESSES.sub("…", _FOLDERS.sub("", self.detail))


class ArtifactRejected(LocalError):
    status, title = 409, "Artifact rejected"


class ActivationInProgress(ServiceError):
    status, title, retry_after_s = 409, "Activation in progress", 1.0
    detail = "another version is being loaded; retry when it has finished"


class VersionNotInMemory(ServiceError):
    status, title = 409, "Version not in memory"


class ExperimentConflict(ServiceError):
    status, title = 409, "Experiment conflict"


class DamagedHistory(ServiceError):
    """The stored values of one user contradict each other or are not those of a history."""

    status, title = 500, "History is damaged"

    @classmethod
    def with_reason(cls, reason: str) -> "DamagedHistory":
        return cls(f"the stored history of this user is damaged: {reason}; erase the user to start again")


class TooManyRequests(ServiceError):
    status, title, retry_after_s = 429, "Too many requests", 1.0


class Overloaded(ServiceError):
    status, title, retry_after_s = 503, "Overloaded", 1.0


class Draining(ServiceError):
    status, title, retry_after_s = 503, "Draining", 1.0
    detail = "the service is shutting down"


class StoreUnavailable(LocalError):
    status, title, retry_after_s = 503, "Store unavailable", 1.0


class ModelUnavailable(LocalError):
    status, title, retry_after_s = 503, "Model unavailable", 1.0


class DeadlineExceeded(ServiceError):
    status, title = 504, "Deadline exceeded"
