"""The client for programs with an event loop."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, TypeVar

import grpc
from typing_extensions import Self, Unpack

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.client import _decoding
from pellucid.client._encoding import CallOptions
from pellucid.client._exceptions import IncompleteExplanation, ServerError, from_call
from pellucid.client._operations import Metadata, Operation, Operations, Settings, Source
from pellucid.client.capabilities import Capabilities, Plan
from pellucid.client.connection import DEFAULT_URL, Connection, Tls
from pellucid.client.options import ExplainOptions, PlanOptions
from pellucid.client.predictions import Prediction, SimilarCases
from pellucid.client.results import ExplainEvent, Result, ResultBuilder
from pellucid.client.sync import DEFAULT_DEADLINE_S, DEFAULT_MESSAGE_BYTES
from pellucid.errors import PellucidError

_T = TypeVar("_T")


class AsyncClient:
    """`Client` for `asyncio`: the same methods, to be awaited; it belongs to one event loop."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        tls: Tls | None = None,
        plaintext: bool = False,
        channel: grpc.aio.Channel | None = None,
        call_credentials: grpc.CallCredentials | None = None,
        metadata: Metadata = (),
        deadline_s: float = DEFAULT_DEADLINE_S,
        max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
    ) -> None:
        """Prepare a connection inside a running event loop; see `Client` for the arguments."""
        self._peer = f"server at {url}" if channel is None else "server"
        self._operations = Operations(
            Settings(
                deadline_s=deadline_s,
                max_message_bytes=max_message_bytes,
                metadata=tuple(metadata),
                call_credentials=call_credentials,
            )
        )
        self._own_channel: grpc.aio.Channel | None = None
        if channel is None:
            self._own_channel = channel = Connection(
                url=url,
                tls=tls,
                plaintext=plaintext,
                call_credentials=call_credentials is not None,
                max_message_bytes=max_message_bytes,
            ).open_async()
        self._stub = gateway_pb2_grpc.GatewayServiceStub(channel)

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
        """Close the connection, unless it is the caller's; calls under way are cancelled."""
        if self._own_channel is not None:
            await self._own_channel.close()

    async def capabilities(
        self,
        media_type: str = "",
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Capabilities:
        """What is served right now; with a media type, only the models that accept it."""
        budget = self._operations.budget(deadline, request_id)
        return await self._drive(self._operations.capabilities(media_type, budget))

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
        budget = self._operations.budget(deadline, request_id)
        return await self._drive(self._operations.choose_model(content, budget))

    async def classify(
        self,
        content: Source,
        model: str | None = None,
        *,
        operating_point: str | None = None,
        refuse_out_of_distribution: bool = False,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """Classify one file; see `ExplainOptions` for the operating point and the refusal."""
        budget = self._operations.budget(deadline, request_id)
        return await self._drive(
            self._operations.classify(
                content, model, operating_point, budget, refuse=refuse_out_of_distribution
            )
        )

    async def find_similar(
        self,
        content: Source,
        model: str | None = None,
        *,
        count: int = 5,
        window: int | None = None,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> SimilarCases:
        """Find the cases of the model's index most like one file; see `Client.find_similar`."""
        budget = self._operations.budget(deadline, request_id)
        return await self._drive(
            self._operations.find_similar(content, model, count, window, budget)
        )

    async def plan(
        self,
        content: Source | None = None,
        model: str | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """Count what an explanation would cost; the file only serves to choose a model."""
        return await self._drive(self._operations.plan(content, model, CallOptions(**options)))

    async def explain(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> AsyncIterator[ExplainEvent]:
        """Classify and explain one file: events, as they come.

        See `Client.explain`. Leaving the loop early cancels the call as soon as the iterator is
        closed: wrap it in `contextlib.aclosing` to have that at once.
        """
        call = await self._drive(self._operations.explain(content, model, CallOptions(**options)))
        stream = self._stub.Explain(
            call.request,  # type: ignore[arg-type]
            **self._operations.arguments(call),
        )
        try:
            async for message in stream:
                event = _decoding.event(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise from_call(error, self._peer, call.budget.request_id) from None
        finally:
            stream.cancel()

    async def explain_all(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Result:
        """Classify and explain one file, and wait for everything; see `Client.explain_all`.

        Raises:
            IncompleteExplanation: the explanation ended early, after at least one map.
        """
        gathered = ResultBuilder()
        try:
            async for event in self.explain(content, model, **options):
                gathered.add(event)
        except (PellucidError, ServerError) as error:
            if gathered.has_maps:
                raise IncompleteExplanation(gathered.result(), error) from error
            raise
        return gathered.result()

    async def _drive(self, operation: Operation[_T]) -> _T:
        response: Any = None
        while True:
            try:
                call = operation.send(response)
            except StopIteration as end:
                result: _T = end.value
                return result
            arguments = self._operations.arguments(call)
            try:
                response = await getattr(self._stub, call.rpc)(call.request, **arguments)
            except grpc.RpcError as error:
                raise from_call(error, self._peer, call.budget.request_id) from None
