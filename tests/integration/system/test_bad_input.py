"""Bad input through the gateway: the right code, a reason, the field, the remedy, no harm done."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from grpc_status import rpc_status

from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    GradCam,
    Grid,
    Lime,
    Method,
    Occlusion,
    Segmentation,
    Target,
)
from pellucid.api.gateway.v1.gateway_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    PlanExplainRequest,
)
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import PellucidError
from pellucid.status import from_status
from tests.integration.system import media

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVICES = ("gateway", "preprocess", "explain")
GROWTH_BYTES = 48 << 20
"""What a service may hold after bad input more than before; the largest input has 48 MB."""
IDLE_BYTES = 200 << 20
"""What the gateway may hold in all, after all of it."""
PICTURE, SOUND = "planted_patch", "planted_tone"
WHOLE = media.image()


def classify(model: str, content: bytes) -> ClassifyRequest:
    return ClassifyRequest(model=model, content=content)


def explain(model: str = PICTURE, content: bytes = WHOLE, **more: Any) -> ExplainRequest:
    return ExplainRequest(model=model, content=content, **more)


def lime(**parameters: Any) -> dict[str, Any]:
    return {"methods": [Method(lime=Lime(**parameters))]}


def targets(target: Target) -> dict[str, Any]:
    return {"options": ExplainOptions(targets=[target])}


FILES = {
    "an empty picture": (PICTURE, lambda: b"", "UNREADABLE_MEDIA"),
    "an empty sound": (SOUND, lambda: b"", "UNREADABLE_MEDIA"),
    "a truncated PNG": (PICTURE, lambda: media.truncated(WHOLE), "UNREADABLE_MEDIA"),
    "a truncated JPEG": (
        PICTURE,
        lambda: media.truncated(media.image("JPEG")),
        "UNREADABLE_MEDIA",
    ),
    "a truncated DICOM": (PICTURE, lambda: media.truncated(media.dicom()), "UNREADABLE_MEDIA"),
    "a truncated WAV": (
        SOUND,
        lambda: media.truncated(media.sound(media.tone())),
        "UNREADABLE_MEDIA",
    ),
    "a truncated MP3": (
        SOUND,
        lambda: media.truncated(media.sound(media.tone(), "MP3")),
        "UNREADABLE_MEDIA",
    ),
    "a PNG of 50,000 by 50,000": (PICTURE, media.huge_png, "MEDIA_LIMIT_EXCEEDED"),
    "a WAV that lies about its length": (SOUND, media.lying_wav, "UNREADABLE_MEDIA"),
    "a sample that is NaN": (SOUND, lambda: media.spoilt_wav(np.nan), "UNREADABLE_MEDIA"),
    "a sample that is infinite": (SOUND, lambda: media.spoilt_wav(np.inf), "UNREADABLE_MEDIA"),
    "a text named .png": (PICTURE, lambda: b"Dear doctor,\n" * 20, "UNSUPPORTED_MEDIA"),
    "an animated GIF": (PICTURE, media.animated_gif, "UNSUPPORTED_MEDIA"),
    "a sound of no length": (
        SOUND,
        lambda: media.sound(np.zeros(0, np.float32)),
        "UNREADABLE_MEDIA",
    ),
    "a sound of an hour": (
        SOUND,
        lambda: media.sound(np.zeros(3600 * 4_000, np.float32), "FLAC", rate=4_000),
        "MEDIA_LIMIT_EXCEEDED",
    ),
    "a sound where a picture is wanted": (
        PICTURE,
        lambda: media.sound(media.tone()),
        "UNSUPPORTED_MEDIA",
    ),
    "a body of 48 MB": (PICTURE, lambda: bytes(48_000_000), "MEDIA_LIMIT_EXCEEDED"),
}

REQUESTS = {
    "a missing model": (classify("", WHOLE), INVALID, "INVALID_ARGUMENT", "model"),
    "an unknown model": (
        classify("nope", WHOLE),
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_MODEL",
        "model",
    ),
    "an unknown model to explain": (
        explain("nope"),
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_MODEL",
        "model",
    ),
    "an unknown label": (
        explain(**targets(Target(label="nope"))),
        INVALID,
        "UNKNOWN_LABEL",
        "options.targets[0].label",
    ),
    "a label by a number too high": (
        explain(**targets(Target(index=2))),
        INVALID,
        "UNKNOWN_LABEL",
        "options.targets[0].index",
    ),
    "more labels than there are": (
        explain(**targets(Target(top_k=3))),
        INVALID,
        "INVALID_ARGUMENT",
        "options.targets[0].top_k",
    ),
    "a method that the model cannot do": (
        explain(methods=[Method(lime=Lime()), Method(grad_cam=GradCam())]),
        grpc.StatusCode.FAILED_PRECONDITION,
        "METHOD_UNAVAILABLE",
        "methods[1].grad_cam",
    ),
    "an empty method": (
        explain(methods=[Method()]),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0]",
    ),
    "a method twice": (
        explain(methods=[Method(lime=Lime()), Method(lime=Lime(samples=10))]),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[1]",
    ),
    "too few samples": (
        explain(**lime(samples=0)),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0].lime.samples",
    ),
    "too many samples": (
        explain(**lime(samples=4_000_000_000)),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0].lime.samples",
    ),
    "a parameter that is NaN": (
        explain(**lime(kernel_width=float("nan"))),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0].lime.kernel_width",
    ),
    "a window that is infinite": (
        explain(methods=[Method(occlusion=Occlusion(window_height=float("inf")))]),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0].occlusion.window_height",
    ),
    "a grid without rows": (
        explain(options=ExplainOptions(segmentation=Segmentation(grid=Grid(rows=0)))),
        INVALID,
        "INVALID_ARGUMENT",
        "options.segmentation.grid.rows",
    ),
    "a baseline for sound only": (
        explain(options=ExplainOptions(baseline=4)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.baseline",
    ),
    "a baseline that does not exist": (
        explain(options=ExplainOptions(baseline=99)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.baseline",
    ),
    "a scale that does not exist": (
        explain(options=ExplainOptions(score_space=99)),
        INVALID,
        "INVALID_ARGUMENT",
        "options.score_space",
    ),
    "a window that is not there": (explain(window=1), INVALID, "INVALID_ARGUMENT", "window"),
    "an unreadable file to explain": (
        explain(content=media.truncated(WHOLE)),
        INVALID,
        "UNREADABLE_MEDIA",
        "content",
    ),
    "a plan out of range": (
        PlanExplainRequest(model=PICTURE, **lime(ridge=-1)),
        INVALID,
        "INVALID_ARGUMENT",
        "methods[0].lime.ridge",
    ),
}


def send(gateway: Any, request: Any, **options: Any) -> None:
    match request:
        case ClassifyRequest():
            gateway.Classify(request, **options)
        case PlanExplainRequest():
            gateway.PlanExplain(request, **options)
        case _:
            for _ in gateway.Explain(request, **options):
                pass


def refused(gateway: Any, request: Any) -> tuple[grpc.StatusCode, PellucidError]:
    with pytest.raises(grpc.RpcError) as caught:
        send(gateway, request)
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, error
    known = from_status(status)
    assert known is not None, error
    return error.code(), known


def check_next_request_works(gateway: Any) -> None:
    answer = gateway.Classify(classify(PICTURE, WHOLE))
    assert answer.prediction.top_label == "patch"


def memory(system: EmbeddedSystem) -> dict[str, int]:
    return {name: psutil.Process(system.service(name).pid).memory_info().rss for name in SERVICES}


def log_lines(system: EmbeddedSystem) -> Iterator[dict[str, Any]]:
    for name in SERVICES:
        for line in Path(system.service(name).log).read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused(gateway: Any, name: str) -> None:
    model, make, reason = FILES[name]
    code, error = refused(gateway, classify(model, make()))
    assert (code, error.reason, error.field) == (INVALID, reason, "content")
    assert error.remedy
    check_next_request_works(gateway)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_request_is_refused(gateway: Any, name: str) -> None:
    request, expected, reason, field = REQUESTS[name]
    code, error = refused(gateway, request)
    assert (code, error.reason, error.field) == (expected, reason, field)
    assert error.remedy
    check_next_request_works(gateway)


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.03])
def test_a_deadline_that_is_too_short_is_said_to_be(gateway: Any, seconds: float) -> None:
    for request in (classify(PICTURE, WHOLE), explain(**lime(samples=10_000))):
        try:
            send(gateway, request, timeout=seconds)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            assert isinstance(request, ClassifyRequest) and seconds > 0.001
    check_next_request_works(gateway)


def test_a_cancel_in_the_middle_is_taken_at_its_word(gateway: Any) -> None:
    call = gateway.Explain(explain(**lime(samples=10_000)))
    for event in call:
        if event.WhichOneof("event") == "progress":
            break
    call.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.CANCELLED
    check_next_request_works(gateway)


def test_a_message_larger_than_the_gateway_reads_is_refused_unread(gateway: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        gateway.Classify(classify(PICTURE, bytes(100_000_000)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in caught.value.details()


def test_memory_returns(system: EmbeddedSystem, gateway: Any) -> None:
    def everything() -> None:
        for model, make, _ in FILES.values():
            refused(gateway, classify(model, make()))
        for request, *_ in REQUESTS.values():
            refused(gateway, request)

    everything()  # what libraries load with their first file is no leak
    before = memory(system)
    for _ in range(2):
        everything()
    time.sleep(2)
    after = memory(system)
    grown = {name: after[name] - before[name] for name in SERVICES}
    assert all(bytes_ < GROWTH_BYTES for bytes_ in grown.values()), grown
    assert after["gateway"] < IDLE_BYTES, after


def test_nothing_was_internal(system: EmbeddedSystem, gateway: Any) -> None:
    check_next_request_works(gateway)
    lines = list(log_lines(system))
    assert any(line["message"] == "call" for line in lines)
    # A collector of traces that is slow is no error of ours, though its client calls it one.
    ours = [line for line in lines if not line["logger"].startswith("opentelemetry")]
    assert [line for line in ours if line["level"] in {"error", "critical"}] == []
    assert [line for line in lines if line.get("grpc_code") in {"INTERNAL", "UNKNOWN"}] == []
