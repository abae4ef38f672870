"""The gateway's contract to its use cases and back; it only translates."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from gateway.capabilities import Capabilities
from gateway.classification import Classifier, Wanted
from gateway.explanation import Explainer
from gateway.predictions import encode_prediction
from gateway.quotas import Quotas
from gateway.settings import GatewaySettings
from gateway.similar_cases import SimilarCases
from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from pellucid.serving.deadline import Deadline

Context = grpc.aio.ServicerContext[Any, Any]


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Answers the five calls of `GatewayService`."""

    def __init__(
        self,
        capabilities: Capabilities,
        classifier: Classifier,
        explainer: Explainer,
        similar_cases: SimilarCases,
        quotas: Quotas,
        settings: GatewaySettings,
    ) -> None:
        """Answer with these use cases."""
        self._capabilities = capabilities
        self._classifier = classifier
        self._explainer = explainer
        self._similar_cases = similar_cases
        self._quotas = quotas
        self._settings = settings

    async def GetCapabilities(  # noqa: N802 - the name in the contract
        self, request: gateway_pb2.GetCapabilitiesRequest, context: Context
    ) -> gateway_pb2.GetCapabilitiesResponse:
        """Say what is served."""
        return await self._capabilities.describe(request.media_type, self._deadline(context))

    async def Classify(  # noqa: N802 - the name in the contract
        self, request: gateway_pb2.ClassifyRequest, context: Context
    ) -> gateway_pb2.ClassifyResponse:
        """Classify one file."""
        await self._quotas.count_prediction(context)
        classified = await self._classifier.classify(
            request.model,
            request.content,
            self._deadline(context),
            Wanted(
                operating_point=request.operating_point,
                refuse=request.refuse_out_of_distribution,
            ),
        )
        return gateway_pb2.ClassifyResponse(prediction=encode_prediction(classified))

    async def PlanExplain(  # noqa: N802 - the name in the contract
        self, request: gateway_pb2.PlanExplainRequest, context: Context
    ) -> gateway_pb2.PlanExplainResponse:
        """Count what an explanation would cost."""
        await self._quotas.count_prediction(context)
        return _sums(await self._explainer.plan(request, self._deadline(context)))

    async def Explain(  # noqa: N802 - the name in the contract
        self, request: gateway_pb2.ExplainRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.ExplainResponse]:
        """Classify one file and explain the answer."""
        async with self._quotas.explanation(context):
            explaining = self._explainer.explain(request, self._deadline(context))
            async with aclosing(explaining) as responses:
                async for response in responses:
                    yield response

    async def FindSimilar(  # noqa: N802 - the name in the contract
        self, request: gateway_pb2.FindSimilarRequest, context: Context
    ) -> gateway_pb2.FindSimilarResponse:
        """Classify one file and find cases like it."""
        await self._quotas.count_prediction(context)
        return await self._similar_cases.find(request, self._deadline(context))

    def _deadline(self, context: Context) -> Deadline:
        return Deadline.of(context, self._settings)


def _sums(plans: Sequence[explain_pb2.MethodPlan]) -> gateway_pb2.PlanExplainResponse:
    measured = [plan.seconds for plan in plans if plan.HasField("seconds")]
    return gateway_pb2.PlanExplainResponse(
        methods=plans,
        model_calls=sum(plan.model_calls for plan in plans),
        bytes_to_triton=sum(plan.bytes_to_triton for plan in plans),
        # A sum of some of the methods would look like the whole.
        seconds=sum(measured) if len(measured) == len(plans) else None,
    )
