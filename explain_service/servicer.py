"""`ExplainService` over gRPC: it only translates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from explain_service.attribution import GradientExplainers
from explain_service.capabilities import model_methods, plan
from explain_service.encoding import encode_event
from explain_service.engine import ExplainEngine
from explain_service.planner import Planner
from explain_service.query import Query, read_query, read_tensor
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel, TritonModels

Context = grpc.aio.ServicerContext[Any, Any]


class ExplainServicer(explain_pb2_grpc.ExplainServiceServicer):
    """Translates between the API and the engine."""

    def __init__(
        self,
        models: TritonModels,
        gradients: GradientExplainers,
        planner: Planner,
        engine: ExplainEngine,
        settings: ExplainSettings,
    ) -> None:
        """Use what the composition root made."""
        self._models = models
        self._gradients = gradients
        self._planner = planner
        self._engine = engine
        self._settings = settings

    async def ListMethods(  # noqa: N802 - the name in the API
        self, request: explain_pb2.ListMethodsRequest, context: Context
    ) -> explain_pb2.ListMethodsResponse:
        """Say which methods work for which model, and why not."""
        asked = [await self._models.get(request.model)] if request.model else None
        models = await self._models.list() if asked is None else asked
        found = [await asyncio.to_thread(model_methods, model, self._gradients) for model in models]
        return explain_pb2.ListMethodsResponse(models=found)

    async def Plan(  # noqa: N802
        self, request: explain_pb2.PlanRequest, context: Context
    ) -> explain_pb2.PlanResponse:
        """Count what an explanation would cost."""
        model = await self._models.get(request.model)
        query = await self._read(model, request)
        return await asyncio.to_thread(plan, query, self._planner)

    async def Explain(  # noqa: N802
        self, request: explain_pb2.ExplainRequest, context: Context
    ) -> AsyncIterator[explain_pb2.ExplainResponse]:
        """Explain one tensor."""
        deadline = Deadline.of(context, self._settings)
        model = await self._models.get(request.model)
        query = await self._read(model, request)
        image = read_tensor(model.card, request.input, "input")
        async with aclosing(self._engine.explain(query, image, deadline)) as events:
            async for event in events:
                yield encode_event(event)

    async def _read(
        self, model: ServedModel, request: explain_pb2.PlanRequest | explain_pb2.ExplainRequest
    ) -> Query:
        # On a thread: whether a copy fits may take the digest of a whole file of weights.
        return await asyncio.to_thread(
            read_query, model, request.methods, request.options, self._gradients
        )
