"""Around every call: request id, metrics, one log line, and the only place that makes statuses."""

from __future__ import annotations  # the stubs' generic handlers are plain classes at run time

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from time import perf_counter
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status

from pellucid.errors import InvalidArgument, PellucidError
from pellucid.metadata import REQUEST_ID
from pellucid.serving import metrics, request_id, tracing
from pellucid.serving.admission import Admission
from pellucid.serving.deadline import CLOCK_SLACK_S
from pellucid.serving.memory import Trimmer
from pellucid.serving.parameter_size import check_parameters
from pellucid.serving.settings import ServiceSettings
from pellucid.status import BUG, CODES, bug_status, to_status

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger(__name__)

_UNREAD_S: Final = 5.0
"""After the longest deadline, for a client to read its answer."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards the calls of our own services; health and reflection pass untouched."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Serve one event loop, within the limits of the settings."""
        self._trimmer = Trimmer()
        self._admission = Admission(
            settings.max_concurrent_rpcs,
            settings.receive_timeout_s,
            # The deadline ends a call that works; this one that waits for its client to read.
            settings.max_deadline_s + _UNREAD_S,
        )
        self._max_parameter_bytes = settings.max_parameter_bytes

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of a unary or server-streaming call."""
        handler = await continuation(handler_call_details)
        path: str = handler_call_details.method
        if handler is None or path.startswith("/grpc."):
            return handler
        kind = "server_stream" if handler.response_streaming else "unary"
        if handler.request_streaming:
            raise NotImplementedError(f"{path}: calls with a stream of requests are not guarded")
        if not self._admission.enter():
            # As if for a stream of requests, whatever the call is: its message is not read.
            return grpc.stream_stream_rpc_method_handler(_refusal(path, kind, self._admission))
        # Messages are decoded by the guards, which answer those that cannot be.
        guard, made = (
            (self._stream, grpc.unary_stream_rpc_method_handler)
            if handler.response_streaming
            else (self._unary, grpc.unary_unary_rpc_method_handler)
        )
        return made(guard(handler, path), response_serializer=handler.response_serializer)

    def _unary(self, handler: Any, path: str) -> Any:
        async def guarded(message: bytes, context: Context) -> Any:
            self._admission.received()
            with self._trimmer.around(len(message)):
                async with _call(path, "unary", context) as labels:
                    answering = handler.unary_unary(self._decoded(message, handler), context)
                    del message
                    response = await answering
                    metrics.SENT.labels(*labels).inc()
                    return response

        return guarded

    def _stream(self, handler: Any, path: str) -> Any:
        async def guarded(message: bytes, context: Context) -> AsyncIterator[Any]:
            self._admission.received()
            with self._trimmer.around(len(message)):
                async with _call(path, "server_stream", context) as labels:
                    answering = handler.unary_stream(self._decoded(message, handler), context)
                    del message
                    # Closed here, not when it is collected: what it holds is let go with the call.
                    async with aclosing(answering) as responses:
                        async for response in responses:
                            yield response
                            metrics.SENT.labels(*labels).inc()

        return guarded

    def _decoded(self, message: bytes, handler: Any) -> Any:
        # `FromString` of the message's class, as the generated code registers it.
        kind: Any = handler.request_deserializer.__self__
        check_parameters(message, kind.DESCRIPTOR, self._max_parameter_bytes)
        try:
            return kind.FromString(message)
        except DecodeError as error:
            raise InvalidArgument(
                "the message cannot be read", remedy="send the request that the contract describes"
            ) from error


def _refusal(path: str, kind: str, admission: Admission) -> Any:
    async def refuse(_: Any, context: Context) -> None:
        async with _call(path, kind, context):
            raise admission.refusal()

    return refuse


@asynccontextmanager
async def _call(path: str, kind: str, context: Context) -> AsyncIterator[tuple[str, str, str]]:
    service, method = path[1:].split("/")
    labels = (kind, service, method)
    metrics.STARTED.labels(*labels).inc()
    metrics.RECEIVED.labels(*labels).inc()
    call_id = request_id.adopt(context.invocation_metadata())
    context.set_trailing_metadata(((REQUEST_ID, call_id),))
    span = tracing.answering(path, context.invocation_metadata(), call_id)
    start, code, reason = perf_counter(), grpc.StatusCode.OK, ""
    try:
        yield labels
    except grpc.aio.AbortError:
        code = _status_code(context.code())
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # gRPC cancels the handler alike when the client goes and when its time is up.
        left = context.time_remaining()
        timed_out = left is not None and left <= CLOCK_SLACK_S
        code = grpc.StatusCode.DEADLINE_EXCEEDED if timed_out else grpc.StatusCode.CANCELLED
        raise
    except PellucidError as error:
        code, reason = CODES[type(error)], error.reason
        _forget(error)
        await _abort(context, to_status(error), call_id)
    except Exception as error:
        code, reason = grpc.StatusCode.INTERNAL, BUG
        log.exception("unhandled error", grpc_method=path)
        _forget(error)
        await _abort(context, bug_status(), call_id)
    finally:
        _record(path, labels, code, reason, perf_counter() - start, call_id)
        tracing.ended(span, code, reason)


def _record(
    path: str,
    labels: tuple[str, str, str],
    code: grpc.StatusCode,
    reason: str,
    seconds: float,
    call_id: str,
) -> None:
    """Count a call that has ended, and log its one line."""
    metrics.SECONDS.labels(*labels).observe(seconds)
    metrics.HANDLED.labels(*labels, metrics.code_name(code.name)).inc()
    if reason:
        metrics.ERRORS.labels(*labels[1:], reason).inc()
    log.info(
        "call",
        grpc_method=path,
        grpc_code=code.name,
        reason=reason,
        seconds=round(seconds, 4),
        # Named here: a stream that nobody read on may end outside its own context.
        request_id=call_id,
    )


def _forget(error: BaseException | None) -> None:
    """Let go of the requests in an error's frames.

    gRPC keeps the aborted call, its error and their frames in a circle until the next full garbage
    collection, which may be far away; a request may have 100 MB.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


async def _abort(context: Context, status: status_pb2.Status, call_id: str) -> None:
    """End the call; it always raises."""
    encoded = rpc_status.to_status(status)
    metadata = (*encoded.trailing_metadata, (REQUEST_ID, call_id))
    await context.abort(encoded.code, encoded.details, metadata)


def _status_code(code: Any) -> grpc.StatusCode:
    """A status code: grpc.aio hands back the number alone."""
    number = code if isinstance(code, int) else code.value[0]
    return next(known for known in grpc.StatusCode if known.value[0] == number)
