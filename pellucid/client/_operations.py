"""The operations of a client as generators, which yield calls and are sent their responses.

`Client` and `AsyncClient` drive the same operations; they differ only in how they wait.
"""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import _decoding, _decoding_capabilities
from pellucid.client._encoding import CallOptions
from pellucid.client._media import sniff
from pellucid.client.capabilities import Capabilities, Limits, Plan
from pellucid.client.predictions import Prediction, SimilarCases
from pellucid.errors import DeadlineTooShort, InvalidArgument, MediaLimitExceeded
from pellucid.metadata import REQUEST_ID

Source = bytes | str | os.PathLike[str]
"""A file's bytes, or the path of a file."""
Metadata = Sequence[tuple[str, str | bytes]]
"""Names and values that go with every call; a name that ends in `-bin` has bytes."""
_T = TypeVar("_T")

_CHECKED_FROM: Final = 1 << 20
"""Bytes from which a file is held against the server's limits before it is sent."""
_OVERHEAD: Final = 64 << 10
"""Bytes of a message besides the file."""


class Budget:
    """The time and the request id of one operation, shared by its calls."""

    def __init__(self, seconds: float, request_id: str | None) -> None:
        """Begin now; the id is a new one where the caller gave none."""
        self._seconds = seconds
        self._end = monotonic() + seconds
        self.request_id = request_id or uuid4().hex

    def left(self) -> float:
        """Seconds left for the next call.

        Raises:
            DeadlineTooShort: there are none.
        """
        left = self._end - monotonic()
        if left <= 0:
            raise DeadlineTooShort(
                f"{self._seconds:g} s were not enough", field="deadline", remedy="allow more time"
            )
        return left


@dataclass(frozen=True)
class Call:
    """One call to be made."""

    rpc: str
    """Name of the RPC of the gateway."""
    request: Message
    budget: Budget


Operation = Generator[Call, Any, _T]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the calls of one client share; see `Client`."""

    deadline_s: float
    max_message_bytes: int
    metadata: Metadata
    call_credentials: grpc.CallCredentials | None


class Operations:
    """The operations of one client; it remembers the server's limits."""

    def __init__(self, settings: Settings) -> None:
        """Remember nothing yet."""
        self._settings = settings
        self._limits: Limits | None = None

    def arguments(self, call: Call) -> dict[str, Any]:
        """What a stub's method takes besides the request.

        Raises:
            DeadlineTooShort: there is no time left.
        """
        request_id = (REQUEST_ID, call.budget.request_id)
        return {
            "timeout": call.budget.left(),
            "metadata": (*self._settings.metadata, request_id),
            "credentials": self._settings.call_credentials,
        }

    def budget(self, deadline: float | None, request_id: str | None) -> Budget:
        """Time and request id of one operation.

        Raises:
            InvalidArgument: the deadline is no positive number.
        """
        seconds = self._settings.deadline_s if deadline is None else deadline
        if not seconds > 0:
            raise InvalidArgument(
                f"the deadline is {seconds}", field="deadline", remedy="give seconds above 0"
            )
        return Budget(seconds, request_id)

    def capabilities(self, media_type: str, budget: Budget) -> Operation[Capabilities]:
        """Get what is served."""
        request = gateway_pb2.GetCapabilitiesRequest(media_type=media_type)
        response = yield Call("GetCapabilities", request, budget)
        found = _decoding_capabilities.capabilities(response)
        self._limits = found.limits
        return found

    def classify(
        self,
        source: Source,
        model: str | None,
        operating_point: str | None,
        budget: Budget,
        *,
        refuse: bool,
    ) -> Operation[Prediction]:
        """Classify one file."""
        content, model = yield from self._prepare(source, model, budget)
        request = gateway_pb2.ClassifyRequest(
            model=model,
            content=content,
            operating_point=operating_point or "",
            refuse_out_of_distribution=refuse,
        )
        response = yield Call("Classify", request, budget)
        return _decoding.prediction(response.prediction)

    def find_similar(
        self, source: Source, model: str | None, count: int, window: int | None, budget: Budget
    ) -> Operation[SimilarCases]:
        """Find cases like one file."""
        if count < 1:
            raise InvalidArgument(f"{count} cases are asked for", field="count", remedy="ask for 1")
        content, model = yield from self._prepare(source, model, budget)
        request = gateway_pb2.FindSimilarRequest(
            model=model, content=content, count=count, window=window
        )
        response = yield Call("FindSimilar", request, budget)
        return _decoding.similar_cases(response)

    def plan(
        self, source: Source | None, model: str | None, options: CallOptions
    ) -> Operation[Plan]:
        """Get what an explanation would cost."""
        budget = self.budget(options.deadline, options.request_id)
        if model is None:
            content = b"" if source is None else read(source)
            model = yield from self._choose(content, budget)
        response = yield Call("PlanExplain", options.plan_request(model), budget)
        return _decoding_capabilities.plan(response)

    def explain(self, source: Source, model: str | None, options: CallOptions) -> Operation[Call]:
        """Make the call that explains one file."""
        budget = self.budget(options.deadline, options.request_id)
        content, model = yield from self._prepare(source, model, budget)
        return Call("Explain", options.explain_request(model, content), budget)

    def choose_model(self, source: Source, budget: Budget) -> Operation[str]:
        """Find the one model that accepts a file."""
        return (yield from self._choose(read(source), budget))

    def _prepare(
        self, source: Source, model: str | None, budget: Budget
    ) -> Operation[tuple[bytes, str]]:
        content = read(source)
        if model is None:
            model = yield from self._choose(content, budget)
        if len(content) > _CHECKED_FROM:
            if self._limits is None:
                yield from self.capabilities("", budget)
            self._check_size(len(content))
        return content, model

    def _choose(self, content: bytes, budget: Budget) -> Operation[str]:
        media_type = sniff(content)
        found = yield from self.capabilities(media_type, budget)
        names = [model.name for model in found.models]
        if len(names) == 1:
            return names[0]
        if not media_type:
            types = sorted({one for model in found.models for one in model.media_types})
            raise InvalidArgument(
                "the file's first bytes do not say what it is",
                field="content",
                remedy=f"send one of: {', '.join(types)}; or name the model",
            )
        raise InvalidArgument(
            f"{len(names) or 'no'} models accept {media_type}",
            field="model",
            remedy=f"choose one of: {', '.join(names)}" if names else "send another file",
        )

    def _check_size(self, size: int) -> None:
        server = self._limits.max_content_bytes if self._limits else 0
        own = self._settings.max_message_bytes - _OVERHEAD
        limit = min(server or own, own)
        if size > limit:
            raise MediaLimitExceeded(
                f"the file has {size} bytes, the limit is {limit}",
                field="content",
                remedy="send a smaller file",
                limit="max_content_bytes" if limit == server else "max_message_bytes",
                maximum=str(limit),
                actual=str(size),
            )


def read(source: Source) -> bytes:
    """Bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    return source if isinstance(source, bytes) else Path(source).read_bytes()
