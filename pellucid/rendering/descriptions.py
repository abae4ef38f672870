"""Numbers, files and receipts in plain words."""

from dataclasses import asdict
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from pellucid.client.explanations import Receipt
from pellucid.client.predictions import AudioFacts, ImageFacts, LabelScore, Prediction


def number(value: float) -> str:
    """A number with three significant digits and a real minus sign."""
    if value == 0:
        return "0"
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def raw_and_calibrated(score: LabelScore) -> str:
    """Both scores of a label, the calibrated one in brackets where there is one."""
    if score.calibrated_score is None:
        return f"{score.score:.3f}"
    return f"{score.score:.3f} ({score.calibrated_score:.3f})"


def facts(prediction: Prediction) -> str:
    """What was read from the file, in one line."""
    match prediction.facts:
        case ImageFacts() as image:
            parts = [f"{image.width} by {image.height} pixels", f"{image.bit_depth} bit"]
            parts += [part for part in (image.colour, image.modality) if part]
        case AudioFacts() as audio:
            channels = "mono" if audio.channels == 1 else f"{audio.channels} channels"
            parts = [f"{audio.duration_s:.2f} s", f"{audio.sample_rate_hz} Hz", channels]
            parts += [audio.encoding] if audio.encoding else []
        case _:
            parts = []
    return " · ".join([prediction.media_type, *parts] if prediction.media_type else parts)


def out_of_distribution(prediction: Prediction) -> str:
    """A warning where the file is unlike the model's training data; else empty."""
    found = prediction.out_of_distribution
    if found is None or not found.warning:
        return ""
    return (
        f"The file is unlike what {prediction.model} was trained on (distance "
        f"{number(found.score)}, threshold {number(found.threshold)}): its scores may mean nothing"
    )


def parameters(receipt: Receipt) -> str:
    """The resolved parameters of a method, as a request would give them."""
    if receipt.method is None:
        return ""
    if isinstance(receipt.method, AnyMessage):
        return receipt.method.TypeName()
    return _assignments(receipt.method)


def segmentation(receipt: Receipt) -> str:
    """The resolved segmentation; empty for methods without segments."""
    if receipt.segmentation is None:
        return ""
    return f"{receipt.segmentation.name}: {_assignments(receipt.segmentation)}"


def _assignments(chosen: Any) -> str:
    return ", ".join(f"{name} = {_plain(value)}" for name, value in asdict(chosen).items())


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
