"""A servicer that does what a request's `model` says: every way in which a call can end."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from typing import Any

from pellucid.api.explain.v1 import explanation_pb2
from pellucid.api.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from pellucid.errors import InvalidArgument
from pellucid.serving import request_id

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
SECRET = "the password is swordfish"
LONG = "x" * (1 << 16)


class Load:
    """Something large that a call works on."""


class Scripted(gateway_pb2_grpc.GatewayServiceServicer):
    """Answers `ok`, refuses `bad`, breaks on `bug`; `slow` ends when told to, `endless` never."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.started = asyncio.Event()
        self.finish = asyncio.Event()
        self.released = asyncio.Event()
        self.load: weakref.ref[Load] | None = None

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._act(request.model)
        return gateway_pb2.ClassifyResponse()

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        try:
            yield gateway_pb2.ExplainResponse()
            await self._act(request.model)
            while request.model == "endless":
                yield gateway_pb2.ExplainResponse(partial=explanation_pb2.Explanation(method=LONG))
            yield gateway_pb2.ExplainResponse()
        finally:
            self.released.set()

    async def _act(self, what: str) -> None:
        load = Load()
        self.load = weakref.ref(load)
        self.seen.append(request_id.current())
        self.started.set()
        if what == "bad":
            raise InvalidArgument("bad", field="model", remedy="choose `ok`", limit="7")
        if what == "bug":
            raise ValueError(SECRET)
        if what == "slow":
            await self.finish.wait()
