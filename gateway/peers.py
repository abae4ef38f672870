"""The services behind the gateway, each as a few typed calls that raise only the error family."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import grpc

from pellucid.api.common.v1 import contract_pb2
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.cards import Card
from pellucid.errors import BackendUnavailable, DeadlineTooShort
from pellucid.serving import tracing
from pellucid.serving.deadline import Deadline
from pellucid.status import from_rpc_error

PREPROCESS: Final = preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"].full_name
EXPLAIN: Final = explain_pb2.DESCRIPTOR.services_by_name["ExplainService"].full_name
RESERVE_S: Final = 0.02
"""Kept back from the caller's time at every call, to pass the answer on."""


class _Peer:
    """A service, and how long it may take to answer."""

    def __init__(self, name: str, service: str, stub: Any, timeout_s: float) -> None:
        self._name = name
        self._service = service
        # The generated stubs have no types for grpc.aio.
        self._stub = stub
        self._timeout_s = timeout_s

    async def _unary(self, method: str, request: Any, deadline: Deadline) -> Any:
        left = deadline.timeout(RESERVE_S)
        timeout = min(left, self._timeout_s)
        try:
            with self._translated(), tracing.calling(self._service, method) as metadata:
                call = getattr(self._stub, method)
                return await call(request, timeout=timeout, metadata=metadata)
        except DeadlineTooShort as error:
            if timeout == left:
                raise
            raise self._unavailable("does not answer in time") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise failures of this service as errors of the family."""
        try:
            yield
        except TimeoutError as error:
            raise self._unavailable("does not answer in time") from error
        except grpc.aio.AioRpcError as error:
            known = from_rpc_error(error, self._name)
            if known is None and error.code() is grpc.StatusCode.CANCELLED:
                # Not by us, that would be a CancelledError: it stopped while it answered.
                known = self._unavailable("stopped")
            if known is None:
                raise
            raise known from error

    def _unavailable(self, what: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"the {self._name} {what}",
            remedy="try again shortly",
            retry_after_s=1.0,
            peer=self._name,
        )


class PreprocessPeer(_Peer):
    """The preprocess service."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        """Talk to it over `channel`, which stays the caller's to close."""
        stub = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        super().__init__("preprocess service", PREPROCESS, stub, timeout_s)

    async def limits(self, deadline: Deadline) -> preprocess_pb2.GetLimitsResponse:
        """What it reads."""
        answer: preprocess_pb2.GetLimitsResponse = await self._unary(
            "GetLimits", preprocess_pb2.GetLimitsRequest(), deadline
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
        answer: preprocess_pb2.PreprocessResponse = await self._unary(
            "Preprocess", request, deadline
        )
        return answer


class ExplainPeer(_Peer):
    """The explain service."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        """Talk to it over `channel`, which stays the caller's to close."""
        stub = explain_pb2_grpc.ExplainServiceStub(channel)
        super().__init__("explain service", EXPLAIN, stub, timeout_s)

    async def methods(self, deadline: Deadline) -> list[explain_pb2.ModelMethods]:
        """Methods of all models."""
        request = explain_pb2.ListMethodsRequest()
        answer = await self._unary("ListMethods", request, deadline)
        return list(answer.models)

    async def plan(
        self, request: explain_pb2.PlanRequest, deadline: Deadline
    ) -> explain_pb2.PlanResponse:
        """Check an explanation and count what it would cost."""
        answer: explain_pb2.PlanResponse = await self._unary("Plan", request, deadline)
        return answer

    async def explain(
        self, request: explain_pb2.ExplainRequest, deadline: Deadline
    ) -> AsyncGenerator[explain_pb2.ExplainResponse, None]:
        """Events of an explanation; closing the iterator cancels it over there.

        Only the first event has a time-out of its own: what follows may wait in a queue.
        """
        timeout = deadline.timeout(RESERVE_S)
        with self._translated(), tracing.calling(self._service, "Explain") as metadata:
            call = self._stub.Explain(request, timeout=timeout, metadata=metadata)
            try:
                events = aiter(call)
                async with asyncio.timeout(self._timeout_s):
                    first = await anext(events)
                yield first
                async for event in events:
                    yield event
            finally:
                call.cancel()


class ExplainPools:
    """Explain services, each for models of its own; one for all the others."""

    def __init__(self, default: ExplainPeer, pools: Mapping[str, ExplainPeer]) -> None:
        """Choose among `pools`, by a model's name or framework, and `default`."""
        self._default = default
        self._pools = pools

    def __iter__(self) -> Iterator[ExplainPeer]:
        """All of them."""
        yield self._default
        yield from self._pools.values()

    def of(self, card: Card) -> ExplainPeer:
        """The service that explains a model."""
        by_framework = self._pools.get(card.framework, self._default)
        return self._pools.get(card.name, by_framework)
