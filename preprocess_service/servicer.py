"""`PreprocessService` of the API; it only translates."""

from typing import Any

import grpc

from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.serving.deadline import Deadline
from preprocess_service.preprocessor import Preprocessor
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import ACCEPTED

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
        return await self._preprocessor.preprocess(request, Deadline.of(context, self._settings))

    async def GetLimits(  # noqa: N802 (the contract names it)
        self, request: preprocess_pb2.GetLimitsRequest, context: Context
    ) -> preprocess_pb2.GetLimitsResponse:
        """Say what is accepted."""
        settings = self._settings
        return preprocess_pb2.GetLimitsResponse(
            max_content_bytes=settings.max_content_bytes,
            max_pixels=settings.max_pixels,
            max_audio_seconds=settings.max_audio_seconds,
            image_media_types=ACCEPTED["image"],
            audio_media_types=ACCEPTED["audio"],
            max_audio_samples=settings.max_audio_samples,
            max_inflated_bytes=settings.max_inflated_bytes,
            max_windows=settings.max_windows,
            max_tensor_bytes=settings.max_tensor_bytes,
            max_message_bytes=settings.max_message_bytes,
        )
