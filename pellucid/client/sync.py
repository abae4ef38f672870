"""The client for ordinary programs."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, TypeVar

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
from pellucid.errors import PellucidError

_T = TypeVar("_T")
DEFAULT_DEADLINE_S: Final = 300.0
DEFAULT_MESSAGE_BYTES: Final = 128 << 20


class Client:
    """A connection to a Pellucid server, as a context manager; several threads may share it.

    Every method raises the family of `pellucid.errors` for what the caller can correct, and
    `ServerError` for what it cannot. Files are given as bytes or as a path; where no model is
    named, the file's type has to leave exactly one.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        tls: Tls | None = None,
        plaintext: bool = False,
        channel: grpc.Channel | None = None,
        call_credentials: grpc.CallCredentials | None = None,
        metadata: Metadata = (),
        deadline_s: float = DEFAULT_DEADLINE_S,
        max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
    ) -> None:
        """Prepare a connection; nothing is sent before the first call.

        Args:
            url: `host:port`, or any gRPC target.
            tls: how to encrypt; nothing is encrypted if absent, which is refused for a server on
                another machine.
            plaintext: talk to another machine unencrypted all the same.
            channel: a channel of the caller's own in place of `url`, `tls` and `plaintext`; it
                stays open when the client closes.
            call_credentials: e.g. `grpc.access_token_call_credentials(...)`, sent with every call;
                gRPC sends them over TLS alone.
            metadata: names and values sent with every call.
            deadline_s: seconds for a call that names no deadline of its own.
            max_message_bytes: largest message, in and out; the server's setting should match.

        Raises:
            ValueError: the server is on another machine, and neither `tls` nor `plaintext` is
                given; or two arguments exclude each other.
        """
        self._peer = f"server at {url}" if channel is None else "server"
        self._operations = Operations(
            Settings(
                deadline_s=deadline_s,
                max_message_bytes=max_message_bytes,
                metadata=tuple(metadata),
                call_credentials=call_credentials,
            )
        )
        self._own_channel: grpc.Channel | None = None
        if channel is None:
            self._own_channel = channel = Connection(
                url=url,
                tls=tls,
                plaintext=plaintext,
                call_credentials=call_credentials is not None,
                max_message_bytes=max_message_bytes,
            ).open()
        self._stub = gateway_pb2_grpc.GatewayServiceStub(channel)

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
        """Close the connection, unless it is the caller's; calls under way are cancelled."""
        if self._own_channel is not None:
            self._own_channel.close()

    def capabilities(
        self,
        media_type: str = "",
        *,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> Capabilities:
        """What is served right now; with a media type, only the models that accept it."""
        budget = self._operations.budget(deadline, request_id)
        return self._drive(self._operations.capabilities(media_type, budget))

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
        budget = self._operations.budget(deadline, request_id)
        return self._drive(self._operations.choose_model(content, budget))

    def classify(
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
        return self._drive(
            self._operations.classify(
                content, model, operating_point, budget, refuse=refuse_out_of_distribution
            )
        )

    def find_similar(
        self,
        content: Source,
        model: str | None = None,
        *,
        count: int = 5,
        window: int | None = None,
        deadline: float | None = None,
        request_id: str | None = None,
    ) -> SimilarCases:
        """Find the cases of the model's index that the model finds most like one file.

        Args:
            content: the file.
            model: by name; by default the one model that accepts it.
            count: 1 to 100.
            window: of a recording, from 0; by default where the top label scores highest.
            deadline: seconds for the whole call; by default the client's.
            request_id: as in `ExplainOptions`.

        Raises:
            IndexUnavailable: the model has no index that fits it.
        """
        budget = self._operations.budget(deadline, request_id)
        return self._drive(self._operations.find_similar(content, model, count, window, budget))

    def plan(
        self,
        content: Source | None = None,
        model: str | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """Count what an explanation would cost; the file only serves to choose a model."""
        return self._drive(self._operations.plan(content, model, CallOptions(**options)))

    def explain(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Iterator[ExplainEvent]:
        """Classify and explain one file: events, as they come.

        First `ExplainedInput` and `ResolvedTargets`; then, for each method, `MethodProgress`,
        `Partial` and `Explanation`, or `MethodFailure`; last `Comparison`. Closing the iterator, or
        leaving it to the garbage collector, cancels the call on the server.
        """
        call = self._drive(self._operations.explain(content, model, CallOptions(**options)))
        stream = self._stub.Explain(
            call.request,  # type: ignore[arg-type]
            **self._operations.arguments(call),
        )
        try:
            for message in stream:
                event = _decoding.event(message)
                if event is not None:
                    yield event
        except grpc.RpcError as error:
            raise from_call(error, self._peer, call.budget.request_id) from None
        finally:
            stream.cancel()

    def explain_all(
        self, content: Source, model: str | None = None, **options: Unpack[ExplainOptions]
    ) -> Result:
        """Classify and explain one file, and wait for everything.

        Methods that failed while others went on are in the result's `failures`.

        Raises:
            IncompleteExplanation: the explanation ended early, after at least one map; it carries
                what came, and the error. Before any map, the error itself is raised.
        """
        gathered = ResultBuilder()
        try:
            for event in self.explain(content, model, **options):
                gathered.add(event)
        except (PellucidError, ServerError) as error:
            if gathered.has_maps:
                raise IncompleteExplanation(gathered.result(), error) from error
            raise
        return gathered.result()

    def _drive(self, operation: Operation[_T]) -> _T:
        response: Any = None
        while True:
            try:
                call = operation.send(response)
            except StopIteration as end:
                result: _T = end.value
                return result
            arguments = self._operations.arguments(call)
            try:
                response = getattr(self._stub, call.rpc)(call.request, **arguments)
            except grpc.RpcError as error:
                raise from_call(error, self._peer, call.budget.request_id) from None
