"""The errors that a caller may see. They know nothing of gRPC: `pellucid.status` translates.

PellucidError
├── InvalidArgument          INVALID_ARGUMENT        a field of the request is wrong
│   ├── UnknownLabel         UNKNOWN_LABEL
│   ├── UnreadableMedia      UNREADABLE_MEDIA        damaged, or not what it says it is
│   ├── UnsupportedMedia     UNSUPPORTED_MEDIA       intact, but of a kind that is not read
│   └── MediaLimitExceeded   MEDIA_LIMIT_EXCEEDED    larger than the server reads
├── UnknownModel             UNKNOWN_MODEL
├── ModelNotReady            MODEL_NOT_READY         it is loading: come back soon
├── ModelBroken              MODEL_BROKEN            its card or graph is wrong: its owner's to fix
├── ModelChanged             MODEL_CHANGED           it was reloaded meanwhile: send it again
├── OutOfDistribution        OUT_OF_DISTRIBUTION     the file is unlike the model's training data
├── IndexUnavailable         INDEX_UNAVAILABLE       the model has no index of cases that fits it
├── MethodUnavailable        METHOD_UNAVAILABLE      this model cannot be explained that way
├── QueueFull                QUEUE_FULL              come back later
├── QuotaExceeded            QUOTA_EXCEEDED          this client asked too often: come back later
├── BackendUnavailable       BACKEND_UNAVAILABLE     a service behind this one does not answer
└── DeadlineTooShort         DEADLINE_EXCEEDED       the time was up before there was an answer
"""

from typing import ClassVar


class PellucidError(Exception):
    """Base of all errors that a caller may see.

    Attributes:
        reason: part of the API, in UPPER_SNAKE.
        field: path of the request's field that is at fault, e.g. `methods[0].lime.samples`.
        remedy: what the caller can do.
        metadata: what of the message a program may act on, by name.
        retry_after_s: seconds after which the same call may succeed.
    """

    reason: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
        **metadata: str,
    ) -> None:
        """Describe what went wrong; see the class for the arguments."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy
        self.retry_after_s = retry_after_s
        self.metadata = metadata


class InvalidArgument(PellucidError):
    """A field of the request is missing, of the wrong form or out of range."""

    reason = "INVALID_ARGUMENT"


class UnknownLabel(InvalidArgument):
    """The model has no such label."""

    reason = "UNKNOWN_LABEL"


class UnreadableMedia(InvalidArgument):
    """The file is empty, cut off, damaged, or not what its first bytes say."""

    reason = "UNREADABLE_MEDIA"


class UnsupportedMedia(InvalidArgument):
    """The file is of a kind that is not read, or not by this model."""

    reason = "UNSUPPORTED_MEDIA"


class MediaLimitExceeded(InvalidArgument):
    """The file is larger than the server reads: in bytes, pixels or seconds."""

    reason = "MEDIA_LIMIT_EXCEEDED"


class UnknownModel(PellucidError):
    """No model of this name is served."""

    reason = "UNKNOWN_MODEL"


class ModelNotReady(PellucidError):
    """The model exists, but does not answer now."""

    reason = "MODEL_NOT_READY"


class ModelBroken(PellucidError):
    """It failed to load, its card cannot be read, or its answers are not as the card says."""

    reason = "MODEL_BROKEN"


class ModelChanged(PellucidError):
    """Another version of the model, or other weights, answered than the request began with."""

    reason = "MODEL_CHANGED"


class OutOfDistribution(PellucidError):
    """The file is unlike what the model was trained on, and such files are refused."""

    reason = "OUT_OF_DISTRIBUTION"


class IndexUnavailable(PellucidError):
    """The model has no index of cases, or one of other weights, or one that cannot be read."""

    reason = "INDEX_UNAVAILABLE"


class MethodUnavailable(PellucidError):
    """The model cannot be explained by this method; the message says why."""

    reason = "METHOD_UNAVAILABLE"


class QueueFull(PellucidError):
    """As many calls, files or explanations as the server holds are running or waiting already."""

    reason = "QUEUE_FULL"


class QuotaExceeded(PellucidError):
    """This client asked more often than it may."""

    reason = "QUOTA_EXCEEDED"


class BackendUnavailable(PellucidError):
    """A service behind this one does not answer."""

    reason = "BACKEND_UNAVAILABLE"


class DeadlineTooShort(PellucidError):
    """The caller's time was up before there was anything to answer."""

    reason = "DEADLINE_EXCEEDED"


def family() -> dict[str, type[PellucidError]]:
    """Every error a caller may see, by reason."""
    found: dict[str, type[PellucidError]] = {}
    pending: list[type[PellucidError]] = list(PellucidError.__subclasses__())
    while pending:
        kind = pending.pop()
        found[kind.reason] = kind
        pending.extend(kind.__subclasses__())
    return found
