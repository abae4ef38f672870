"""The client for ordinary programs."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

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

_T = TypeVar("_T")
DEFAULT_URL: Final = "localhost:50050"
DEFAULT_DEADLINE_S: Final = 300.0
DEFAULT_MESSAGE_BYTES: Final = 128 << 20


class Client:
    """A connection to a Pellucid server, as a context manager; several threads may share it.

    Every method raises the family of `pellucid.errors` for what the caller can mend, and
    `ServerError` for what it cannot. Files are given as bytes or as a path; where no model is
    named, the file's type has to leave exactly one.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        tls: Tls | None = None,
        deadline_s: float = DEFAULT_DEADLINE_S,
        max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
    ) -> None:
        """Prepare a connection; nothing is sent before the first call.

        Args:
            url: `host:port`, or any gRPC target.
            tls: how to encrypt; plain text if absent.
            deadline_s: seconds for a call that names no deadline of its own.
            max_message_bytes: largest message, in and out; the server's setting should match.
        """
        self.url = url
        self._flows = Flows(deadline_s, max_message_bytes)
        connection = Connection(url=url, tls=tls, max_message_bytes=max_message_bytes)
        self._channel = connection.open()
        self._stub = gateway_pb2_grpc.GatewayServiceStub(self._channel)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def capabilities(
        self,
        media_type: str = "",
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Capabilities:
        """What is served right now; with a media type, only the models that accept it."""
        budget = self._flows.budget(deadline, request_id)
        return self._drive(self._flows.capabilities(media_type, budget))

    def choose_model(
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
        return self._drive(self._flows.choose_model(content, budget))

    def classify(
        self,
        content: Source,
        model: str | None = None,
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """Classify one file."""
        budget = self._flows.budget(deadline, request_id)
        return self._drive(self._flows.classify(content, model, budget))

    def plan(
        self,
        content: Source | None = None,
        model: str | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """Count what an explanation would cost; the file only serves to choose a model."""
        return self._drive(self._flows.plan(content, model, Question(**options)))

    def explain(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Iterator[Event]:
        """Classify and explain one file: events, as they come.

        First `Explained`, then `Progress`, `Partial` and `Explanation`, last `Comparison`. Closing
        the iterator, or leaving it to the garbage collector, cancels the call on the server.
        """
        call = self._drive(self._flows.explain(content, model, Question(**options)))
        stream = self._stub.Explain(
            call.request,  # type: ignore[arg-type]
            timeout=call.budget.left(),
            metadata=call.budget.metadata,
        )
        try:
            for message in stream:
                event = decoding.event(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise from_call(error, self.url, call.budget.request_id) from None
        finally:
            stream.cancel()

    def explain_all(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Result:
        """Classify and explain one file, and wait for everything."""
        return collect(self.explain(content, model, **options))

    def _drive(self, flow: Flow[_T]) -> _T:
        answer: Any = None
        while True:
            try:
                call = flow.send(answer)
            except StopIteration as end:
                result: _T = end.value
                return result
            try:
                answer = getattr(self._stub, call.rpc)(
                    call.request, timeout=call.budget.left(), metadata=call.budget.metadata
                )
            except grpc.RpcError as error:
                raise from_call(error, self.url, call.budget.request_id) from None
