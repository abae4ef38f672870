"""Messages whose parameters are larger than a server decodes."""

import numpy as np
import pytest
from google.protobuf.message import Message

from pellucid.api.common.v1.tensor_pb2 import Tensor
from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.errors import InvalidArgument
from pellucid.serving.parameter_size import check_parameters

MAXIMUM = 1 << 10
FILE = bytes(1 << 20)


def check(message: bytes, kind: type[Message]) -> None:
    check_parameters(message, kind.DESCRIPTOR, MAXIMUM)


def test_a_large_file_is_no_parameter() -> None:
    request = gateway_pb2.ExplainRequest(model="xray", content=FILE, window=3)
    check(request.SerializeToString(), gateway_pb2.ExplainRequest)


def test_a_large_tensor_is_no_parameter() -> None:
    tensor = Tensor(shape=[1, 512, 512], data=np.zeros((512, 512), "<f4").tobytes())
    request = explain_pb2.ExplainRequest(model="xray", input=tensor)
    check(request.SerializeToString(), explain_pb2.ExplainRequest)


@pytest.mark.parametrize(
    "message",
    [
        b"\x12\x00" * MAXIMUM,
        gateway_pb2.PlanExplainRequest(model="x" * 2 * MAXIMUM).SerializeToString(),
        b"\x23\x24" * MAXIMUM,
        b"\x08" + b"\x80" * 4 + b"\x01" + b"\x0d\x00\x00\x00\x00" * MAXIMUM,
        b"\x39" + bytes(8) + b"\xf8\x7f\x01" * MAXIMUM,
    ],
    ids=["empty methods", "a long name", "groups", "unknown numbers", "unknown varints"],
)
def test_more_parameters_than_are_decoded_are_refused(message: bytes) -> None:
    with pytest.raises(InvalidArgument, match="more than 1024 bytes beside its content") as caught:
        check(message, gateway_pb2.PlanExplainRequest)
    assert caught.value.metadata["limit"] == "max_parameter_bytes"


@pytest.mark.parametrize("first", [True, False])
def test_parameters_around_a_file_are_found(first: bool) -> None:
    file = gateway_pb2.ClassifyRequest(content=FILE).SerializeToString()
    parameters = b"\x20\x01" * MAXIMUM
    message = parameters + file if first else file + parameters
    with pytest.raises(InvalidArgument):
        check(message, gateway_pb2.ClassifyRequest)


def test_parts_of_a_file_that_are_empty_count() -> None:
    with pytest.raises(InvalidArgument):
        check(b"\x12\x00" * MAXIMUM, gateway_pb2.ClassifyRequest)


@pytest.mark.parametrize("message", [b"\xff" * 2 * MAXIMUM, b"\x12\xff\xff\xff\x7f" + FILE])
def test_what_cannot_be_read_is_left_to_the_decoder_or_refused(message: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check(message, gateway_pb2.ClassifyRequest)
