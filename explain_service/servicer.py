"""`ExplainService` over gRPC: it only translates."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from explain_service.capabilities import model_methods, plan
from explain_service.encoding import encode_event
from explain_service.engine import ExplainEngine
from explain_service.methods import MethodRegistry
from explain_service.request import CheckedRequest, check_request, check_tensor
from explain_service.resolution import Dependencies
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.deadline import Deadline, Shutdown
from pellucid.serving.served_model import ServedModel
from pellucid.serving.triton import changed

Context = grpc.aio.ServicerContext[Any, Any]


class ExplainServicer(explain_pb2_grpc.ExplainServiceServicer):
    """Translates between the API and the engine."""

    def __init__(
        self,
        catalogue: ModelCatalogue,
        registry: MethodRegistry,
        dependencies: Dependencies,
        engine: ExplainEngine,
        settings: ExplainSettings,
        shutdown: Shutdown,
    ) -> None:
        """Use what the composition root made."""
        self._catalogue = catalogue
        self._registry = registry
        self._dependencies = dependencies
        self._engine = engine
        self._settings = settings
        self._shutdown = shutdown

    async def ListMethods(  # noqa: N802 - the name in the API
        self, request: explain_pb2.ListMethodsRequest, context: Context
    ) -> explain_pb2.ListMethodsResponse:
        """Say which methods work for which model, and why not."""
        if request.model:
            models = [await self._catalogue.get(request.model)]
        else:
            models = await self._catalogue.list()
        found = [
            await asyncio.to_thread(
                model_methods, model, self._registry, self._dependencies.backends
            )
            for model in models
        ]
        return explain_pb2.ListMethodsResponse(models=found)

    async def Plan(  # noqa: N802
        self, request: explain_pb2.PlanRequest, context: Context
    ) -> explain_pb2.PlanResponse:
        """Count what an explanation would cost."""
        model = await self._catalogue.get(request.model)
        checked = await self._check(model, request)
        return await asyncio.to_thread(plan, checked, self._dependencies.planner)

    async def Explain(  # noqa: N802
        self, request: explain_pb2.ExplainRequest, context: Context
    ) -> AsyncIterator[explain_pb2.ExplainResponse]:
        """Explain one tensor."""
        deadline = Deadline.of(context, self._settings, self._shutdown)
        model = await self._classified(request)
        checked = await self._check(model, request)
        tensor = check_tensor(model.card.preprocess, request.input, "input")
        async with aclosing(self._engine.explain(checked, tensor, deadline)) as events:
            async for event in events:
                yield encode_event(event)

    async def _classified(self, request: explain_pb2.ExplainRequest) -> ServedModel:
        """The model that made the prediction; the snapshot may be older than the prediction.

        Raises:
            ModelChanged: another version or other weights are served by now.
        """
        model = await self._catalogue.get(request.model)
        # The snapshot may also have been taken while the model's masked graph was being loaded.
        if not _is_expected(model, request) or model.masked_is_coming:
            self._catalogue.mark_stale(request.model)
            model = await self._catalogue.get(request.model)
        if not _is_expected(model, request):
            raise changed(model, "another version is served than was classified")
        return model

    async def _check(
        self, model: ServedModel, request: explain_pb2.PlanRequest | explain_pb2.ExplainRequest
    ) -> CheckedRequest:
        # On a thread: whether a copy fits may take the digest of a whole file of weights.
        return await asyncio.to_thread(
            check_request,
            model,
            request.methods,
            request.options,
            self._registry,
            self._dependencies.backends,
        )


def _is_expected(model: ServedModel, request: explain_pb2.ExplainRequest) -> bool:
    if not request.model_version:
        return True
    expected = (request.model_version, request.weights_digest)
    return (model.version, model.weights_digest) == expected
