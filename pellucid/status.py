"""Errors to `google.rpc.Status` and back (AIP-193): one seam for the services and the client.

Every status carries exactly one `ErrorInfo` (reason, domain, metadata), a `BadRequest` where a
field is at fault, a `ResourceInfo` where there is no such model, and a `RetryInfo` where trying
again may help. It travels in gRPC's trailers, which are refused from 8 KiB on: texts are cut.
"""

from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    IndexUnavailable,
    InvalidArgument,
    MediaLimitExceeded,
    MethodUnavailable,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
    OutOfDistribution,
    PellucidError,
    QueueFull,
    QuotaExceeded,
    UnknownLabel,
    UnknownModel,
    UnreadableMedia,
    UnsupportedMedia,
    family,
)

DOMAIN: Final = "pellucid"
MODEL: Final = "pellucid.model"
"""Type of the resource that an unknown model is."""
BUG: Final = "INTERNAL"
"""Reason of a status that stands for a bug: no error of the family, and nothing else is said."""

CODES: Final[dict[type[PellucidError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownLabel: grpc.StatusCode.INVALID_ARGUMENT,
    UnreadableMedia: grpc.StatusCode.INVALID_ARGUMENT,
    UnsupportedMedia: grpc.StatusCode.INVALID_ARGUMENT,
    MediaLimitExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownModel: grpc.StatusCode.NOT_FOUND,
    ModelNotReady: grpc.StatusCode.UNAVAILABLE,
    ModelBroken: grpc.StatusCode.FAILED_PRECONDITION,
    ModelChanged: grpc.StatusCode.ABORTED,
    OutOfDistribution: grpc.StatusCode.FAILED_PRECONDITION,
    IndexUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    MethodUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    BackendUnavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineTooShort: grpc.StatusCode.DEADLINE_EXCEEDED,
}


_RETRIABLE: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}

_TEXT_BYTES: Final = 512
_VALUE_BYTES: Final = 128
"""Of a message and of a remedy, and of each other value, at most."""


def is_retriable(error: PellucidError) -> bool:
    """Whether the same call may succeed later."""
    return CODES[type(error)] in _RETRIABLE


def to_status(error: PellucidError) -> status_pb2.Status:
    """Encode an error as `google.rpc.Status`."""
    message, remedy = _cut(error.message, _TEXT_BYTES), _cut(error.remedy, _TEXT_BYTES)
    text = f"{message}; {remedy}" if remedy else message
    metadata = {key: _cut(value, _VALUE_BYTES) for key, value in error.metadata.items()}
    if error.field:
        metadata["field"] = error.field
    if remedy:
        metadata["remedy"] = remedy
    code: int = CODES[type(error)].value[0]
    status = status_pb2.Status(code=code, message=text)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    )
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=text, reason=error.reason
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, UnknownModel):
        resource = error_details_pb2.ResourceInfo(
            resource_type=MODEL, resource_name=metadata.get("model", "")
        )
        status.details.add().Pack(resource)
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def bug_status() -> status_pb2.Status:
    """What a caller gets of a bug: that there is one, and nothing of its inside."""
    remedy = "report it with the request id"
    status = status_pb2.Status(
        code=grpc.StatusCode.INTERNAL.value[0], message=f"internal error; {remedy}"
    )
    info = error_details_pb2.ErrorInfo(reason=BUG, domain=DOMAIN, metadata={"remedy": remedy})
    status.details.add().Pack(info)
    return status


def from_status(status: status_pb2.Status) -> PellucidError | None:
    """Decode an error that `to_status` encoded; None if it is not one of ours."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    kind = family().get(info.reason) if info.domain == DOMAIN else None
    if kind is None:
        return None
    metadata = dict(info.metadata)
    field, remedy = metadata.pop("field", ""), metadata.pop("remedy", "")
    message = status.message.removesuffix(f"; {remedy}") if remedy else status.message
    return kind(message, field=field, remedy=remedy, retry_after_s=retry_after_s, **metadata)


def from_rpc_error(error: Any, peer: str) -> PellucidError | None:
    """What a failed call to `peer` means to whoever made it; None for a bug over there.

    `error` is a `grpc.RpcError` of either kind. An error of the family comes back as it was raised;
    a dead or silent peer becomes `BackendUnavailable`, time that ran out `DeadlineTooShort`.
    """
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a status whose details contradict its code is none of ours
        status = None
    if status is not None and (known := from_status(status)) is not None:
        return known
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" not in error.details():
        return BackendUnavailable(
            f"the {peer} has too much to do", remedy="try again later", retry_after_s=5.0, peer=peer
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return BackendUnavailable(
            f"the {peer} does not answer", remedy="try again shortly", retry_after_s=1.0, peer=peer
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineTooShort(
            f"the {peer} did not answer in time", remedy="allow more time", peer=peer
        )
    return None


def _cut(text: str, size: int) -> str:
    """A text of at most `size` bytes in UTF-8."""
    encoded = text.encode()
    if len(encoded) <= size:
        return text
    return encoded[: size - 3].decode(errors="ignore") + "\N{HORIZONTAL ELLIPSIS}"
