"""Responses of a gateway that is made up: two models, their predictions, and maps of two hills."""

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from pellucid import tensors
from pellucid.api.common.v1 import media_pb2
from pellucid.api.explain.v1 import explain_pb2, explanation_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.parameters import parameters_of

TITLES = {
    "lime": "LIME",
    "kernel_shap": "Kernel SHAP",
    "partition_shap": "Partition SHAP",
    "occlusion": "Occlusion",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "Integrated Gradients",
}
METHODS = tuple(TITLES)
ON_SEGMENTS = ("lime", "kernel_shap", "partition_shap")
MEASURES: dict[str, list[tuple[str, str, float, Any, str]]] = {
    "lime": [("r_squared", "R²", 0.62, explanation_pb2.GRADE_FAIR, "It follows in part.")],
    "kernel_shap": [("additivity_gap", "additivity gap", 1e-7, explanation_pb2.GRADE_GOOD, "")],
    "partition_shap": [("additivity_gap", "additivity gap", 1e-7, explanation_pb2.GRADE_GOOD, "")],
    "occlusion": [("coverage", "coverage", 1.0, explanation_pb2.GRADE_GOOD, "All was hidden.")],
    "integrated_gradients": [
        (
            "completeness_gap",
            "completeness gap",
            0.4,
            explanation_pb2.GRADE_POOR,
            "10.7% of the score's change is unaccounted for.",
        )
    ],
}
"""Of each method: name, title, value, grade and words."""
BANDS, FRAMES = 80, 201
SIDE = 224


def model(name: str, modality: str, media_types: tuple[str, ...]) -> gateway_pb2.Model:
    """One entry of the capabilities; Grad-CAM is not available."""
    return gateway_pb2.Model(
        name=name,
        version="1",
        title=f"The {name} model",
        modality=modality,
        state=gateway_pb2.MODEL_STATE_READY,
        labels=[
            gateway_pb2.Label(
                name="normal", threshold=0.5, operating_points={"lax": 0.125, "balanced": 0.5}
            ),
            gateway_pb2.Label(name="other"),
        ],
        operating_points=["balanced", "lax"],
        activation="softmax",
        media_types=media_types,
        methods=[method_capability(method) for method in METHODS],
        card_json='{"licence": "CC0"}',
        baselines=[methods_pb2.BASELINE_MEAN, methods_pb2.BASELINE_BLUR],
        segmentations=[segmentation_capability("slic", methods_pb2.Slic)],
        precision="float32",
    )


def failed_model(name: str) -> gateway_pb2.Model:
    """One that could not be loaded: no more is known of it."""
    return gateway_pb2.Model(
        name=name, state=gateway_pb2.MODEL_STATE_FAILED, state_reason="its card has no labels"
    )


def method_capability(method: str) -> explain_pb2.MethodCapability:
    kind = type(getattr(methods_pb2.Method(), method))
    return explain_pb2.MethodCapability(
        method=method,
        title=TITLES[method],
        description=f"How {TITLES[method]} works.",
        paper="arXiv:1602.04938",
        available=method != "grad_cam",
        unavailable_reason="the card names no layer" if method == "grad_cam" else "",
        runtime=explain_pb2.RUNTIME_TRITON,
        parameters=parameters(kind),
        parameters_message=kind.DESCRIPTOR.full_name,
        measures=[
            explain_pb2.MeasureCapability(name=name, title=title, description="What it is.")
            for name, title, *_ in MEASURES.get(method, [])
        ],
        on_segments=method in ON_SEGMENTS,
    )


def segmentation_capability(name: str, kind: Any) -> explain_pb2.SegmentationCapability:
    return explain_pb2.SegmentationCapability(
        segmentation=name, title="SLIC", description="How it cuts.", parameters=parameters(kind)
    )


def parameters(kind: Any) -> list[explain_pb2.Parameter]:
    return [
        explain_pb2.Parameter(
            name=one.name,
            type=one.type,
            default_value="" if one.default is None else str(one.default),
            minimum=one.minimum,
            maximum=one.maximum,
            unit=one.unit,
            description=one.description,
        )
        for one in parameters_of(kind.DESCRIPTOR)
    ]


def prediction(model: str, sound: bool) -> gateway_pb2.Prediction:
    """Two labels; sound has three windows, and is unlike the training data."""
    scores = [
        gateway_pb2.LabelScore(
            label="normal", score=0.06, logit=-2.75, above_threshold=False, calibrated_score=0.125
        ),
        gateway_pb2.LabelScore(label="other", score=0.94, logit=2.75, calibrated_score=0.875),
    ]
    if sound:
        facts = media_pb2.MediaFacts(
            media_type="audio/wav",
            audio=media_pb2.AudioFacts(
                sample_rate_hz=22_050, channels=1, duration_seconds=3.4, encoding="PCM_16"
            ),
        )
    else:
        facts = media_pb2.MediaFacts(
            media_type="image/png",
            image=media_pb2.ImageFacts(width=320, height=260, bit_depth=8, colour="grey"),
        )
    windows = [
        gateway_pb2.WindowScore(
            scores=scores,
            start_seconds=start,
            end_seconds=start + 2.0,
            distance=2.5 if sound else None,
        )
        for start in ((0.0, 1.0, 2.0) if sound else (0.0,))
    ]
    unlike = gateway_pb2.OutOfDistribution(
        score=2.5, threshold=1.5, warning=True, detector="mahalanobis"
    )
    return gateway_pb2.Prediction(
        model=model,
        model_version="1",
        scores=scores,
        top_label="other",
        windows=windows,
        facts=facts,
        precision="float32",
        request_id="made-up",
        operating_point="balanced",
        out_of_distribution=unlike if sound else None,
    )


def progress(method: str, done: int) -> gateway_pb2.ExplainResponse:
    """One step of ten."""
    return gateway_pb2.ExplainResponse(
        progress=explanation_pb2.Progress(
            method=method, calls_done=done, calls_total=10, elapsed_seconds=0.1
        )
    )


def target() -> explanation_pb2.ResolvedTarget:
    return explanation_pb2.ResolvedTarget(
        label="other",
        index=1,
        score=2.75,
        baseline_score=-1.0,
        score_space=methods_pb2.SCORE_SPACE_LOGIT,
    )


def targets() -> gateway_pb2.ExplainResponse:
    """What is explained."""
    resolved = explanation_pb2.ResolvedTargets(targets=[target()])
    return gateway_pb2.ExplainResponse(targets=resolved)


def failure(method: str) -> gateway_pb2.ExplainResponse:
    """A method that has no map."""
    failed = explanation_pb2.MethodFailure(
        method=method,
        reason="BACKEND_UNAVAILABLE",
        message="Triton does not answer",
        remedy="try again shortly",
        retriable=True,
    )
    return gateway_pb2.ExplainResponse(failure=failed)


def explained_input(model: str, sound: bool) -> gateway_pb2.ExplainedInput:
    """The first event."""
    shape = (BANDS, FRAMES) if sound else (SIDE, SIDE)
    window = media_pb2.Window(digest="ab" * 32, display_png=png(picture(*shape)))
    if sound:
        window.to_original.CopyFrom(media_pb2.Affine(a=2.0 / FRAMES, c=2.0, e=1.0))
        window.start_seconds, window.end_seconds = 2.0, 4.0
        window.axes.time_seconds.extend(2.0 + (np.arange(FRAMES) + 0.5) * 2.0 / FRAMES)
        window.axes.frequency_hz.extend(mel_centres())
    else:
        window.to_original.CopyFrom(media_pb2.Affine(a=320 / SIDE, e=260 / SIDE))
    return gateway_pb2.ExplainedInput(
        prediction=prediction(model, sound),
        window_index=2 if sound else 0,
        window=window,
        queue_position=1,
    )


def explanation(method: str, sound: bool, *, zero: bool = False) -> explanation_pb2.Explanation:
    """A map of blobs, one for and one against, in blocks where the method has segments."""
    shape = (BANDS, FRAMES) if sound else (SIDE, SIDE)
    segmented = method in ON_SEGMENTS
    segments = blocks(shape)
    values = blobs(shape)
    if method == "grad_cam":
        values = np.maximum(values, 0)
    if zero:
        values = np.zeros_like(values)
    found = explanation_pb2.Explanation(
        method=method,
        title=TITLES.get(method, ""),
        description=f"How {method} works.",
        target=target(),
    )
    if segmented:
        means = [float(values[segments == s].mean()) for s in range(int(segments.max()) + 1)]
        values = np.array(means, np.float32)[segments]
        found.segment_scores.segments.CopyFrom(tensors.encode(segments))
        found.segment_scores.values.extend(means)
        if method != "partition_shap":
            found.segment_scores.low.extend(v - 0.1 for v in means)
            found.segment_scores.high.extend(v + 0.1 for v in means)
    found.map.CopyFrom(tensors.encode(values))
    found.trust.CopyFrom(trust(method, zero))
    found.receipt.CopyFrom(receipt(method, segmented))
    return found


def trust(method: str, zero: bool) -> explanation_pb2.Trust:
    found = explanation_pb2.Trust(all_zero=zero)
    for name, title, value, grade, words in MEASURES.get(method, []):
        found.measures.add(name=name, title=title, value=value, grade=grade, words=words)
    if method == "integrated_gradients":
        found.warnings.append("the gap is large: take more steps")
    return found


def receipt(method: str, segmented: bool) -> explanation_pb2.Receipt:
    found = explanation_pb2.Receipt(
        model="xray",
        model_version="1",
        weights_digest="cd" * 32,
        input_digest="ab" * 32,
        score_space=methods_pb2.SCORE_SPACE_LOGIT,
        baseline=methods_pb2.BASELINE_MEAN,
        seed=7,
        precision="float32",
        model_calls=500,
        seconds=1.25,
        library_versions={"numpy": "2.4.0"},
    )
    getattr(found.method, method).SetInParent()
    if method == "lime":
        found.method.lime.samples = 500
    if segmented:
        found.segmentation.grid.rows = 8
        found.segmentation.grid.columns = 8
    return found


def blobs(shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One hill in the upper left of the array, one half as deep in the lower right."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / np.array(shape)[:, None, None]
    hill = np.exp(-((x - 0.3) ** 2 + (y - 0.3) ** 2) / 0.02)
    hole = np.exp(-((x - 0.7) ** 2 + (y - 0.7) ** 2) / 0.02)
    return (hill - 0.5 * hole).astype(np.float32)


def blocks(shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Eight by eight rectangles."""
    rows = np.arange(shape[0]) * 8 // shape[0]
    columns = np.arange(shape[1]) * 8 // shape[1]
    return (rows[:, None] * 8 + columns[None]).astype(np.uint16)


def picture(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Something grey with structure."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = 0.5 + 0.5 * np.sin(12 * x + 4 * np.sin(7 * y)) * np.cos(9 * y)
    return (40 + 150 * waves).astype(np.uint8)


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def mel_centres() -> list[float]:
    """Centres of mel bands from 0 to 8 kHz (HTK's formula; close enough for a test)."""
    top = 2595 * math.log10(1 + 8_000 / 700)
    return [700 * (10 ** (top * (i + 1) / (BANDS + 1) / 2595) - 1) for i in range(BANDS)]
