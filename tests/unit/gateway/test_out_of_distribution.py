"""Files that are unlike a model's training data: a warning, or a refusal where one is wanted."""

from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import REGISTRY

from gateway.out_of_distribution import refuse_unlike
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ExplainRequest, Prediction
from pellucid.errors import OutOfDistribution
from tests.unit.gateway.conftest import SETTINGS, Stage
from tests.unit.gateway.fakes import LABELS, card
from tests.unit.gateway.refusals import refusal

DETECTOR = {"kind": "mahalanobis", "threshold": 1.5, "digest": "0" * 64}


async def classified(stage: Stage, **request: Any) -> Prediction:
    answer = await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file", **request))
    return answer.prediction


@pytest.mark.parametrize(("distance", "warning"), [(1, False), (2, True)])
async def test_a_file_beyond_the_threshold_comes_with_a_warning(
    stage: Stage, distance: float, warning: bool
) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(distance, 0, 0)]
    found = (await classified(stage)).out_of_distribution
    assert (found.score, found.threshold, found.warning) == (distance, 1.5, warning)
    assert found.detector == "mahalanobis"


@pytest.mark.parametrize(("distance", "unlike"), [(1, 0), (2, 1)])
async def test_a_file_is_counted_by_its_scores_and_by_what_it_is_unlike(
    stage: Stage, distance: float, unlike: int
) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(distance, 0, 0)]
    first = {"label": LABELS[0]}
    counted = (
        ("pellucid_scores_count", first, 1),
        ("pellucid_labels_total", first, 1),
        ("pellucid_unlike_training_total", {}, unlike),
    )
    before = [sample(name, labels) for name, labels, _ in counted]
    assert (await classified(stage)).top_label == LABELS[0]
    after = [sample(name, labels) for name, labels, _ in counted]
    assert [b - a for a, b in zip(before, after, strict=True)] == [more for _, _, more in counted]


def sample(name: str, labels: dict[str, str]) -> float:
    return REGISTRY.get_sample_value(name, {"model": "shade", **labels}) or 0


async def test_a_model_without_a_detector_says_nothing_and_refuses_nothing(stage: Stage) -> None:
    stage.preprocess.windows = [(99, 0, 0)]
    prediction = await classified(stage, refuse_out_of_distribution=True)
    assert not prediction.HasField("out_of_distribution")
    assert not prediction.windows[0].HasField("distance")
    assert [output.name for output in stage.triton.inferred[-1].outputs] == ["logits"]


async def test_of_several_windows_the_median_decides(stage: Stage) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(1, 0, 0), (9, 0, 0), (1.25, 0, 0)]
    prediction = await classified(stage)
    assert [window.distance for window in prediction.windows] == [1, 9, 1.25]
    assert prediction.out_of_distribution.score == 1.25
    assert not prediction.out_of_distribution.warning


async def test_a_request_may_have_such_a_file_refused(stage: Stage) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(2, 0, 0)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await classified(stage, refuse_out_of_distribution=True)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    error = refusal(caught.value)
    assert (type(error), error.field) == (OutOfDistribution, "content")
    assert error.metadata["score"] == "2" and error.metadata["threshold"] == "1.5"
    assert error.remedy


@pytest.mark.parametrize(
    "settings", [SETTINGS.model_copy(update={"refuse_out_of_distribution": True})]
)
async def test_a_server_may_refuse_such_files_of_all_requests(stage: Stage) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(2, 0, 0)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await classified(stage)
    assert type(refusal(caught.value)) is OutOfDistribution


async def test_an_explanation_is_refused_before_anything_is_explained(stage: Stage) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(2, 0, 0)]
    request = ExplainRequest(model="shade", content=b"file", refuse_out_of_distribution=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(stage.stub.Explain(request)))
    assert type(refusal(caught.value)) is OutOfDistribution
    assert stage.explain.asked == []


async def test_an_explained_file_comes_with_the_same_warning(stage: Stage) -> None:
    stage.load(card(detector=DETECTOR))
    stage.preprocess.windows = [(2, 0, 0)]
    call = stage.stub.Explain(ExplainRequest(model="shade", content=b"file"))
    first = await anext(aiter(call))
    assert first.prediction.prediction.out_of_distribution.warning
    call.cancel()


def test_a_file_at_the_threshold_is_not_refused() -> None:
    refuse_unlike(card(detector=DETECTOR), np.array([1.5], np.float32))
