"""`PreprocessService` of the API; it only translates."""

import asyncio
from typing import Any

import grpc

from pellucid import contracts
from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.serving.deadline import Deadline
from preprocess_service import encoding
from preprocess_service.preprocessor import Preprocessor
from preprocess_service.settings import PreprocessSettings

Context = grpc.aio.ServicerContext[Any, Any]


class PreprocessServicer(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Turns messages into calls of the `Preprocessor` and back."""

    def __init__(self, preprocessor: Preprocessor, settings: PreprocessSettings) -> None:
        self._preprocessor = preprocessor
        self._settings = settings

    async def Preprocess(  # noqa: N802 (the contract names it)
        self, request: preprocess_pb2.PreprocessRequest, context: Context
    ) -> preprocess_pb2.PreprocessResponse:
        """Read one file."""
        contract = contracts.decode(request.contract)
        deadline = Deadline.of(context, self._settings)
        result = await self._preprocessor.preprocess(
            request.content, contract, deadline, displayed=not request.without_display
        )
        return await asyncio.to_thread(encoding.encode_result, result)

    async def GetLimits(  # noqa: N802 (the contract names it)
        self, request: preprocess_pb2.GetLimitsRequest, context: Context
    ) -> preprocess_pb2.GetLimitsResponse:
        """Say what is accepted."""
        return encoding.encode_limits(self._settings)
