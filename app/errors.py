"""Every error the service tells its callers, and the only map from an error to an HTTP status.

ServiceError
├── InvalidRequest 422            a field is wrong in a way the schema cannot say
├── Unauthorized 401          no key, or not a known one
├── Forbidden 403             a known key without the scope
├── NotFound 404              no such item, user or version
├── HistoryBehind 409         the store has not reached min_history_version
├── BodyTooLarge 413
├── ArtifactRejected 409      a version that does not load, or answers wrongly
├── ActivationInProgress 409        another version is being loaded; Retry-After
├── TooManyRequests 429      this key asks too often; Retry-After says when to come back
├── Overloaded 503            the queue is full; Retry-After says when to come back
├── Draining 503              shutting down
├── StoreUnavailable 503      Redis does not answer
├── ModelUnavailable 503      the model's process is not there
└── DeadlineExceeded 504      the answer would come too late

How they reach a caller (problem+json) stands in `app/http/problems.py`.
"""


class ServiceError(Exception):
    """Base of the tree: `status` and `title` are fixed per class, `detail` says what happened this time."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    status, title = 422, "Invalid request"


class Unauthorized(ServiceError):
    status, title = 401, "Unauthorized"


class Forbidden(ServiceError):
    status, title = 403, "Forbidden"


class NotFound(ServiceError):
    status, title = 404, "Not found"


class HistoryBehind(ServiceError):
    status, title = 409, "History is behind"


class ArtifactRejected(ServiceError):
    status, title = 409, "Artifact rejected"


class ActivationInProgress(ServiceError):
    status, title = 409, "Activation runs"

    def __init__(self) -> None:
        super().__init__("another version is being loaded; ask again when it is done", retry_after_s=1.0)


class BodyTooLarge(ServiceError):
    status, title = 413, "Body too large"


class TooManyRequests(ServiceError):
    status, title = 429, "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Overloaded(ServiceError):
    status, title = 503, "Overloaded"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class Draining(ServiceError):
    status, title = 503, "Draining"

    def __init__(self, detail: str = "the service is shutting down", *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class StoreUnavailable(ServiceError):
    status, title = 503, "Store unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class ModelUnavailable(ServiceError):
    status, title = 503, "Model unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class DeadlineExceeded(ServiceError):
    status, title = 504, "Deadline exceeded"
