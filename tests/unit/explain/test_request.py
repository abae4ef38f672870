"""A request is checked as a whole, once, before anything is paid for."""

from typing import Any

import numpy as np
import pytest

from explain_service.methods import METHODS
from explain_service.methods.base import Backends
from explain_service.request import CheckedRequest, check_request, check_tensor
from pellucid import tensors
from pellucid.api.common.v1 import tensor_pb2
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.cards import Card
from pellucid.errors import InvalidArgument, MethodUnavailable, ModelNotReady, UnknownLabel
from tests.support.cards import GREY, LAYERED, SPEECH, served
from tests.support.gradient_models import OneCopy

LIME = pb.Method(lime=pb.Lime())
GRAD_CAM = pb.Method(grad_cam=pb.GradCam())


def check(
    *methods: pb.Method,
    card: Card = LAYERED,
    masked: bool = True,
    no_copy: str = "",
    **options: Any,
) -> CheckedRequest:
    calls, copies = None, OneCopy(reason=no_copy)
    backends = Backends(calls, copies)  # type: ignore[arg-type]
    asked = pb.ExplainOptions(**options)
    return check_request(served(card, masked=masked), methods, asked, METHODS, backends)


def names(request: CheckedRequest) -> list[str]:
    return [call.method.name for call in request.calls]


def test_every_parameter_is_known_once_a_request_is_checked() -> None:
    request = check(LIME, GRAD_CAM)
    lime, grad_cam = (call.parameters for call in request.calls)
    assert lime == pb.Lime(samples=500, kernel_width=0.25, ridge=1)
    assert grad_cam == pb.GradCam(layer="features", positive_only=True)
    assert request.baseline == pb.BASELINE_MEAN
    assert request.segmentation.slic.segments == 50
    assert not request.probability


def test_without_methods_every_one_that_is_available_is_meant() -> None:
    assert names(check()) == [method.name for method in METHODS]
    assert names(check(no_copy="no weights")) == [
        "lime",
        "kernel_shap",
        "partition_shap",
        "occlusion",
    ]
    assert names(check(masked=False)) == ["grad_cam", "integrated_gradients"]


def test_a_masked_graph_that_is_coming_is_worth_waiting_for() -> None:
    model = served(LAYERED, masked=False, masked_is_coming=True)
    backends = Backends(None, OneCopy())  # type: ignore[arg-type]
    with pytest.raises(ModelNotReady) as caught:
        check_request(model, [LIME], pb.ExplainOptions(), METHODS, backends)
    assert (caught.value.field, caught.value.metadata["method"]) == ("methods[0].lime", "lime")
    assert caught.value.retry_after_s


def test_a_model_that_nothing_explains_says_why() -> None:
    with pytest.raises(MethodUnavailable) as caught:
        check(masked=False, no_copy="there are no weights")
    assert caught.value.field == "model"
    assert "no masked graph" in caught.value.message
    assert "there are no weights" in caught.value.message


def test_a_method_that_is_not_available_is_named_with_its_reason() -> None:
    with pytest.raises(MethodUnavailable) as caught:
        check(LIME, GRAD_CAM, no_copy="there are no weights")
    assert caught.value.field == "methods[1].grad_cam"
    assert "there are no weights" in caught.value.message
    assert caught.value.metadata["method"] == "grad_cam"


@pytest.mark.parametrize(
    ("options", "kind", "field"),
    [
        ({"targets": [pb.Target(label="nobody")]}, UnknownLabel, "options.targets[0].label"),
        ({"score_space": 7}, InvalidArgument, "options.score_space"),
        ({"baseline": pb.BASELINE_SILENCE}, InvalidArgument, "options.baseline"),
        (
            {"segmentation": pb.Segmentation(grid=pb.Grid(rows=65))},
            InvalidArgument,
            "options.segmentation.grid.rows",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_that_is_wrong_is_named(
    options: dict[str, Any], kind: type[Exception], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(LIME, **options)
    assert type(caught.value) is kind
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("options", "segments", "targets", "is_constant"),
    [
        ({}, 50, 1, True),
        ({"targets": [pb.Target(top_k=2)]}, 50, 2, True),
        ({"baseline": pb.BASELINE_BLUR}, 50, 1, False),
        ({"segmentation": pb.Segmentation(grid=pb.Grid(rows=4, columns=5))}, 20, 1, True),
    ],
    ids=["default", "two targets", "blur", "grid"],
)
def test_the_work_is_foreseen_before_the_input_is_known(
    options: dict[str, Any], segments: int, targets: int, is_constant: bool
) -> None:
    work = check(LIME, **options).expected_workload
    assert (work.segments, work.targets) == (segments, targets)
    assert work.baseline_is_constant is is_constant


def test_sound_is_cut_by_a_grid_and_hidden_by_silence() -> None:
    request = check(LIME, card=SPEECH)
    assert request.baseline == pb.BASELINE_SILENCE
    assert request.segmentation == pb.Segmentation(grid=pb.Grid(rows=8, columns=8))


@pytest.mark.parametrize(
    ("array", "field"),
    [
        (np.ones((3, 4), np.float32), "input.shape"),
        (np.full((1, 32, 32), np.nan, np.float32), "input.data"),
        (np.ones((1, 32, 32), np.uint8), "input.data_type"),
    ],
    ids=["shape", "not finite", "type"],
)
def test_an_input_that_the_model_does_not_take_is_refused(array: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_tensor(GREY.preprocess, tensors.encode(array), "input")
    assert caught.value.field == field
    assert caught.value.remedy


def test_the_input_comes_as_it_was_sent() -> None:
    sent = np.random.default_rng(0).random((1, 32, 32), np.float32)
    taken = check_tensor(GREY.preprocess, tensors.encode(sent), "input")
    assert taken.tobytes() == sent.tobytes()


@pytest.mark.parametrize("shape", [[1] * 65, [2**32 - 1] * 100_000], ids=["ones", "huge"])
def test_a_tensor_of_many_axes_is_refused_at_once(shape: list[int]) -> None:
    float32 = tensor_pb2.DATA_TYPE_FLOAT32
    sent = tensor_pb2.Tensor(data_type=float32, shape=shape, data=bytes(4))
    with pytest.raises(InvalidArgument, match=f"has {len(shape)} axes") as caught:
        check_tensor(GREY.preprocess, sent, "input")
    assert caught.value.field == "input.shape"
