"""What a client does, without doing it: generators that yield calls and are sent the answers.

`Client` and `AsyncClient` drive the same flows; they differ only in how they wait.
"""

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import uuid4

from google.protobuf.message import Message

from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import decoding, offering, results
from pellucid.client.encoding import Question
from pellucid.client.media import sniff
from pellucid.client.offers import Capabilities, Limits, Plan
from pellucid.client.predictions import Prediction
from pellucid.errors import DeadlineTooShort, InvalidArgument, MediaLimitExceeded
from pellucid.serving.request_id import METADATA_KEY

Source = bytes | str | os.PathLike[str]
"""A file's bytes, or the path of a file."""
_T = TypeVar("_T")

_CHECKED_FROM: Final = 1 << 20
"""Bytes from which a file is held against the server's limits before it is sent."""
_OVERHEAD: Final = 64 << 10
"""Bytes of a message besides the file."""


class Budget:
    """One caller's time and name, shared by the calls that answer it."""

    def __init__(self, seconds: float, request_id: str | None) -> None:
        """Begin now; the id is a new one where the caller gave none."""
        self._seconds = seconds
        self._end = monotonic() + seconds
        self.request_id = request_id or uuid4().hex

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return ((METADATA_KEY, self.request_id),)

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


Flow = Generator[Call, Any, _T]


class Flows:
    """The flows of one client; it remembers the server's limits."""

    def __init__(self, deadline_s: float, max_message_bytes: int) -> None:
        """Take what the client was told; see `Client`."""
        self._deadline_s = deadline_s
        self._max_message_bytes = max_message_bytes
        self._limits: Limits | None = None

    def budget(self, deadline: float | None, request_id: str | None) -> Budget:
        """Time and name of one caller.

        Raises:
            InvalidArgument: the deadline is no positive number.
        """
        seconds = self._deadline_s if deadline is None else deadline
        if not seconds > 0:
            raise InvalidArgument(
                f"the deadline is {seconds}", field="deadline", remedy="give seconds above 0"
            )
        return Budget(seconds, request_id)

    def capabilities(self, media_type: str, budget: Budget) -> Flow[Capabilities]:
        """Ask what is served."""
        request = gateway_pb2.GetCapabilitiesRequest(media_type=media_type)
        response = yield Call("GetCapabilities", request, budget)
        found = offering.capabilities(response)
        self._limits = found.limits
        return found

    def classify(self, source: Source, model: str | None, budget: Budget) -> Flow[Prediction]:
        """Classify one file."""
        content, model = yield from self._prepare(source, model, budget)
        request = gateway_pb2.ClassifyRequest(model=model, content=content)
        response = yield Call("Classify", request, budget)
        return decoding.prediction(response.prediction)

    def plan(self, source: Source | None, model: str | None, question: Question) -> Flow[Plan]:
        """Ask what an explanation would cost."""
        budget = self.budget(question.deadline, question.request_id)
        if model is None:
            content = b"" if source is None else read(source)
            model = yield from self._choose(content, budget)
        response = yield Call("PlanExplain", question.plan_request(model), budget)
        return offering.plan(response)

    def explain(self, source: Source, model: str | None, question: Question) -> Flow[Call]:
        """Make the call that explains one file."""
        budget = self.budget(question.deadline, question.request_id)
        content, model = yield from self._prepare(source, model, budget)
        return Call("Explain", question.explain_request(model, content), budget)

    def choose_model(self, source: Source, budget: Budget) -> Flow[str]:
        """Find the one model that accepts a file."""
        return (yield from self._choose(read(source), budget))

    def _prepare(
        self, source: Source, model: str | None, budget: Budget
    ) -> Flow[tuple[bytes, str]]:
        content = read(source)
        if model is None:
            model = yield from self._choose(content, budget)
        if len(content) > _CHECKED_FROM:
            if self._limits is None:
                yield from self.capabilities("", budget)
            self._check_size(len(content))
        return content, model

    def _choose(self, content: bytes, budget: Budget) -> Flow[str]:
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
        limit = min(server or self._max_message_bytes, self._max_message_bytes - _OVERHEAD)
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


def collect(events: Iterable[results.Event]) -> results.Result:
    """Put the events of a whole explanation together; progress and partial maps are dropped.

    Raises:
        ValueError: the first event is missing.
    """
    explained: results.Explained | None = None
    comparison: results.Comparison | None = None
    explanations: list[results.Explanation] = []
    for event in events:
        match event:
            case results.Explained():
                explained = event
            case results.Explanation():
                explanations.append(event)
            case results.Comparison():
                comparison = event
            case _:
                pass
    if explained is None:
        raise ValueError("the events of an explanation begin with the prediction")
    return results.Result(explained, tuple(explanations), comparison)
