"""The client for programs with an event loop."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.client import decoding
from pellucid.client.connection import Connection, Tls
from pellucid.client.encoding import ExplainOptions, PlanOptions, Question
from pellucid.client.failures import from_call
from pellucid.client.flow import Flow, Flows, Source, collect
from pellucid.client.offers import Capabilities, Plan
from pellucid.client.predictions import Prediction
from pellucid.client.results import Event, Result
from pellucid.client.sync import DEFAULT_DEADLINE_S, DEFAULT_MESSAGE_BYTES, DEFAULT_URL

_T = TypeVar("_T")


class AsyncClient:
    """`Client` for `asyncio`: the same methods, to be awaited; it belongs to one event loop."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        tls: Tls | None = None,
        deadline_s: float = DEFAULT_DEADLINE_S,
        max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
    ) -> None:
        """Prepare a connection inside a running event loop; see `Client` for the arguments."""
        self.url = url
        self._flows = Flows(deadline_s, max_message_bytes)
        connection = Connection(url=url, tls=tls, max_message_bytes=max_message_bytes)
        self._channel = connection.open_async()
        self._stub = gateway_pb2_grpc.GatewayServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close()

    async def capabilities(
        self,
        media_type: str = "",
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Capabilities:
        """What is served right now; with a media type, only the models that accept it."""
        budget = self._flows.budget(deadline, request_id)
        return await self._drive(self._flows.capabilities(media_type, budget))

    async def choose_model(
        self,
        content: Source,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> str:
        """Name of the one model that accepts a file.

        Raises:
            InvalidArgument: several models accept it, or none.
        """
        budget = self._flows.budget(deadline, request_id)
        return await self._drive(self._flows.choose_model(content, budget))

    async def classify(
        self,
        content: Source,
        model: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """Classify one file."""
        budget = self._flows.budget(deadline, request_id)
        return await self._drive(self._flows.classify(content, model, budget))

    async def plan(
        self,
        content: Source | None = None,
        model: str | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """Count what an explanation would cost; the file only serves to choose a model."""
        return await self._drive(self._flows.plan(content, model, Question(**options)))

    async def explain(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> AsyncIterator[Event]:
        """Classify and explain one file: events, as they come; see `Client.explain`.

        Leaving the loop early cancels the call as soon as the iterator is closed: wrap it in
        `contextlib.aclosing` to have that at once.
        """
        call = await self._drive(self._flows.explain(content, model, Question(**options)))
        stream = self._stub.Explain(
            call.request,  # type: ignore[arg-type]
            timeout=call.budget.left(),
            metadata=call.budget.metadata,
        )
        try:
            async for message in stream:
                event = decoding.event(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise from_call(error, self.url, call.budget.request_id) from None
        finally:
            stream.cancel()

    async def explain_all(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Result:
        """Classify and explain one file, and wait for everything."""
        return collect([event async for event in self.explain(content, model, **options)])

    async def _drive(self, flow: Flow[_T]) -> _T:
        answer: Any = None
        while True:
            try:
                call = flow.send(answer)
            except StopIteration as end:
                result: _T = end.value
                return result
            try:
                answer = await getattr(self._stub, call.rpc)(
                    call.request, timeout=call.budget.left(), metadata=call.budget.metadata
                )
            except grpc.RpcError as error:
                raise from_call(error, self.url, call.budget.request_id) from None
