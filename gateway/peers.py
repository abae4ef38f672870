"""The services behind the gateway, each as a few typed calls that raise only the error family."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.errors import BackendUnavailable
from pellucid.serving import request_id
from pellucid.serving.deadline import Deadline
from pellucid.status import from_rpc_error

RESERVE_S: Final = 0.02
"""Kept back from the caller's time at every call, to pass the answer on."""


class PreprocessPeer:
    """The preprocess service."""

    name: Final = "preprocess service"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Talk to it over `channel`, which stays the caller's to close."""
        # The generated stubs have no types for grpc.aio.
        self._stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)

    async def limits(self, deadline: Deadline) -> preprocess_pb2.GetLimitsResponse:
        """What it reads."""
        answer: preprocess_pb2.GetLimitsResponse = await _unary(
            self.name, self._stub.GetLimits, preprocess_pb2.GetLimitsRequest(), deadline
        )
        return answer

    async def preprocess(
        self,
        content: bytes,
        contract: contract_pb2.PreprocessContract,
        deadline: Deadline,
        *,
        displayed: bool,
    ) -> preprocess_pb2.PreprocessResponse:
        """Turn a file into tensors, with pictures of them for people where they are `displayed`."""
        request = preprocess_pb2.PreprocessRequest(
            content=content, contract=contract, without_display=not displayed
        )
        answer: preprocess_pb2.PreprocessResponse = await _unary(
            self.name, self._stub.Preprocess, request, deadline
        )
        return answer


class ExplainPeer:
    """The explain service."""

    name: Final = "explain service"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Talk to it over `channel`, which stays the caller's to close."""
        self._stub: Any = explain_pb2_grpc.ExplainServiceStub(channel)

    async def methods(self, model: str, deadline: Deadline) -> list[explain_pb2.ModelMethods]:
        """Methods of one model, or of all where `model` is empty."""
        request = explain_pb2.ListMethodsRequest(model=model)
        answer = await _unary(self.name, self._stub.ListMethods, request, deadline)
        return list(answer.models)

    async def plan(
        self, request: explain_pb2.PlanRequest, deadline: Deadline
    ) -> explain_pb2.PlanResponse:
        """Check an explanation and count what it would cost."""
        answer: explain_pb2.PlanResponse = await _unary(
            self.name, self._stub.Plan, request, deadline
        )
        return answer

    async def explain(
        self, request: explain_pb2.ExplainRequest, deadline: Deadline
    ) -> AsyncGenerator[explain_pb2.ExplainResponse, None]:
        """Events of an explanation; closing the iterator cancels it over there."""
        timeout = deadline.timeout(RESERVE_S)
        call = self._stub.Explain(request, timeout=timeout, metadata=request_id.outgoing())
        try:
            with _translated(self.name):
                async for event in call:
                    yield event
        finally:
            call.cancel()


async def _unary(peer: str, method: Any, request: Any, deadline: Deadline) -> Any:
    timeout = deadline.timeout(RESERVE_S)
    with _translated(peer):
        return await method(request, timeout=timeout, metadata=request_id.outgoing())


@contextmanager
def _translated(peer: str) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        known = from_rpc_error(error, peer)
        if known is None and error.code() is grpc.StatusCode.CANCELLED:
            # Not by us, that would be a CancelledError: it stopped while it answered.
            known = BackendUnavailable(
                f"the {peer} stopped", remedy="try again shortly", retry_after_s=1.0, peer=peer
            )
        if known is None:
            raise
        raise known from error
