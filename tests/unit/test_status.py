"""Errors as statuses, and back."""

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    InvalidArgument,
    PellucidError,
    QueueFull,
    UnknownModel,
    family,
)
from pellucid.status import DOMAIN, MODEL, bug_status, from_rpc_error, from_status, to_status


def details(status: status_pb2.Status, kind: type) -> list:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


@pytest.mark.parametrize("kind", family().values(), ids=lambda kind: kind.reason)
def test_every_error_survives_the_way_there_and_back(kind: type[PellucidError]) -> None:
    sent = kind(
        "it is wrong", field="a.b[0]", remedy="mend it", retry_after_s=1.5, limit="3", unit="bytes"
    )
    received = from_status(to_status(sent))
    assert type(received) is kind
    assert vars(received) == vars(sent)


@pytest.mark.parametrize("kind", family().values(), ids=lambda kind: kind.reason)
def test_every_status_has_exactly_one_error_info(kind: type[PellucidError]) -> None:
    infos = details(to_status(kind("it is wrong")), error_details_pb2.ErrorInfo)
    assert [(info.domain, info.reason) for info in infos] == [(DOMAIN, kind.reason)]


def test_a_field_at_fault_is_a_bad_request() -> None:
    status = to_status(InvalidArgument("it is wrong", field="steps", remedy="choose 2 to 9"))
    (request,) = details(status, error_details_pb2.BadRequest)
    (violation,) = request.field_violations
    assert (violation.field, violation.reason) == ("steps", "INVALID_ARGUMENT")


def test_an_error_without_a_field_has_no_bad_request() -> None:
    assert details(to_status(QueueFull("full")), error_details_pb2.BadRequest) == []


def test_when_to_try_again_is_told_in_seconds() -> None:
    (retry,) = details(
        to_status(QueueFull("full", retry_after_s=2.25)), error_details_pb2.RetryInfo
    )
    assert retry.retry_delay.ToMilliseconds() == 2250


def test_a_bug_says_that_it_is_one_and_nothing_else() -> None:
    status = bug_status()
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert (status.code, info.reason, info.domain) == (13, "INTERNAL", DOMAIN)
    assert from_status(status) is None


def test_an_error_of_another_domain_is_not_ours() -> None:
    status = status_pb2.Status(code=3)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="elsewhere"))
    assert from_status(status) is None


class Failed(Exception):
    """A failed call without details, as gRPC itself makes them."""

    def __init__(self, code: grpc.StatusCode, text: str = "") -> None:
        super().__init__(text)
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> tuple:
        return ()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, BackendUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineTooShort),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BackendUnavailable),
    ],
)
def test_a_peer_that_cannot_answer_is_named(
    code: grpc.StatusCode, kind: type[PellucidError]
) -> None:
    error = from_rpc_error(Failed(code), "scales")
    assert type(error) is kind
    assert error.metadata["peer"] == "scales"
    assert error.remedy


@pytest.mark.parametrize(
    "error",
    [
        Failed(grpc.StatusCode.INTERNAL),
        Failed(grpc.StatusCode.UNKNOWN),
        Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)"),
    ],
    ids=lambda error: error.code().name,
)
def test_a_bug_of_a_peer_is_no_error_of_the_family(error: Failed) -> None:
    assert from_rpc_error(error, "scales") is None


def test_an_unknown_model_is_a_resource_that_is_not_there() -> None:
    status = to_status(UnknownModel("no such model", field="model", model="xray"))
    (resource,) = details(status, error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == (MODEL, "xray")


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}"])
def test_no_error_is_larger_than_what_grpc_carries_in_its_trailers(letter: str) -> None:
    long = letter * 100_000
    status = to_status(UnknownModel(long, field="model", remedy=long, model=long))
    whole = len(base64.b64encode(status.SerializeToString())) + len(quote(status.message))
    assert whole < 8 << 10
    received = from_status(status)
    assert isinstance(received, UnknownModel)
    assert received.message.startswith(letter)
    assert received.remedy.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_a_status_that_contradicts_itself_is_none_of_ours() -> None:
    class Contradiction(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.NOT_FOUND

        def details(self) -> str:
            return "something"

        def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
            status = to_status(QueueFull("full"))
            return (("grpc-status-details-bin", status.SerializeToString()),)

    assert from_rpc_error(Contradiction(), "peer") is None
