"""Results of this service as messages of the API."""

from pellucid import tensors
from pellucid.api.common.v1 import media_pb2
from pellucid.api.preprocess.v1 import preprocess_pb2
from preprocess_service.media import Affine, Axes, ImageFacts, Preprocessed, Window


def encode_result(result: Preprocessed) -> preprocess_pb2.PreprocessResponse:
    """Encode one file, ready for a model."""
    return preprocess_pb2.PreprocessResponse(
        windows=[_window(window) for window in result.windows], facts=_facts(result)
    )


def _window(window: Window) -> media_pb2.Window:
    return media_pb2.Window(
        tensor=tensors.encode(window.tensor),
        digest=window.digest,
        to_original=_affine(window.to_original),
        start_seconds=window.start_seconds,
        end_seconds=window.end_seconds,
        axes=None if window.axes is None else _axes(window.axes),
        display_png=window.preview_png,
    )


def _affine(affine: Affine) -> media_pb2.Affine:
    return media_pb2.Affine(
        a=affine.x_scale, c=affine.x_offset, e=affine.y_scale, f=affine.y_offset
    )


def _axes(axes: Axes) -> media_pb2.SpectrogramAxes:
    return media_pb2.SpectrogramAxes(time_seconds=axes.time_seconds, frequency_hz=axes.frequency_hz)


def _facts(result: Preprocessed) -> media_pb2.MediaFacts:
    facts = result.facts
    if isinstance(facts, ImageFacts):
        image = media_pb2.ImageFacts(
            width=facts.width,
            height=facts.height,
            bit_depth=facts.bit_depth,
            colour=facts.colour,
            orientation=facts.orientation,
            modality=facts.modality,
            transfer_syntax=facts.transfer_syntax,
        )
        return media_pb2.MediaFacts(media_type=result.media_type, image=image)
    audio = media_pb2.AudioFacts(
        sample_rate_hz=facts.sample_rate_hz,
        channels=facts.channels,
        duration_seconds=facts.duration_seconds,
        encoding=facts.encoding,
        bit_depth=facts.bit_depth,
    )
    return media_pb2.MediaFacts(media_type=result.media_type, audio=audio)
