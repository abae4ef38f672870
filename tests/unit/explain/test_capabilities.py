"""What a client is told of a model's methods, and of their cost."""

from typing import Any

import pytest

from explain_service.capabilities import model_methods, plan
from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.request import check_request
from pellucid.api.explain.v1 import explain_pb2, methods_pb2
from pellucid.cards import Card
from tests.support.cards import GREY, LAYERED, SPEECH, served
from tests.support.gradient_models import OneCopy
from tests.support.toy_methods import ScriptedMethod, maps_of


def backends(no_copy: str = "") -> Backends:
    calls: Any = None
    copies: Any = OneCopy(reason=no_copy)
    return Backends(calls, copies)


def listed(
    card: Card = LAYERED, registry: MethodRegistry = METHODS, no_copy: str = "", **facts: Any
) -> explain_pb2.ModelMethods:
    return model_methods(served(card, **facts), registry, backends(no_copy))


def by_name(found: explain_pb2.ModelMethods) -> dict[str, explain_pb2.MethodCapability]:
    return {one.method: one for one in found.methods}


def test_every_method_of_the_registry_is_listed_with_what_it_is() -> None:
    found = by_name(listed())
    assert list(found) == [method.name for method in METHODS]
    lime = found["lime"]
    assert lime.available
    assert (lime.title, lime.paper) == ("LIME", "arXiv:1602.04938")
    assert lime.description
    assert lime.parameters_message == "pellucid.api.explain.v1.Lime"
    assert lime.runtime == explain_pb2.RUNTIME_TRITON
    assert lime.on_segments
    assert [measure.name for measure in lime.measures] == ["r_squared"]
    assert found["grad_cam"].runtime == explain_pb2.RUNTIME_LOCAL_COPY
    assert not found["occlusion"].on_segments


def test_parameters_are_described_with_type_default_range_and_unit() -> None:
    samples, kernel_width, ridge = by_name(listed())["lime"].parameters
    assert (samples.name, samples.type, samples.default_value) == ("samples", "integer", "500")
    assert (samples.minimum, samples.maximum, samples.unit) == (10, 10_000, "samples")
    assert samples.description
    assert (kernel_width.type, kernel_width.default_value) == ("number", "0.25")
    assert ridge.default_value == "1"


def test_what_the_card_decides_comes_as_choices_the_default_first() -> None:
    layer, positive_only = by_name(listed())["grad_cam"].parameters
    assert (layer.type, list(layer.choices)) == ("string", ["features", "first"])
    assert layer.default_value == "features"
    assert (positive_only.type, positive_only.default_value) == ("boolean", "true")


def test_a_method_that_does_not_work_says_why() -> None:
    found = by_name(listed(no_copy="there are no weights", masked=False))
    assert not any(one.available for one in found.values())
    assert "no masked graph" in found["lime"].unavailable_reason
    assert found["grad_cam"].unavailable_reason == "there are no weights"


def test_a_card_without_layers_leaves_integrated_gradients() -> None:
    found = by_name(listed(GREY))
    assert "names no layer" in found["grad_cam"].unavailable_reason
    assert not found["grad_cam"].parameters[0].choices
    assert found["integrated_gradients"].available


@pytest.mark.parametrize(
    ("card", "segmentation", "baseline"),
    [
        (GREY, "slic", methods_pb2.BASELINE_MEAN),
        (SPEECH, "grid", methods_pb2.BASELINE_SILENCE),
    ],
    ids=["picture", "sound"],
)
def test_segmentations_and_baselines_come_with_the_default_first(
    card: Card, segmentation: str, baseline: int
) -> None:
    found = listed(card)
    assert found.segmentations[0].segmentation == segmentation
    assert {one.segmentation for one in found.segmentations} == {"slic", "quickshift", "grid"}
    assert all(one.title and one.description for one in found.segmentations)
    assert found.baselines[0] == baseline
    assert len(found.baselines) == 3


def test_a_method_that_no_contract_knows_is_listed_like_any_other() -> None:
    registry = MethodRegistry((*METHODS, ScriptedMethod("scripted", maps_of(1.0))))
    scripted = by_name(listed(registry=registry))["scripted"]
    assert scripted.available
    assert scripted.title == "Scripted"
    assert scripted.parameters_message == "pellucid.tests.Scripted"


def test_a_plan_has_one_cost_for_each_method_in_order() -> None:
    methods = [
        methods_pb2.Method(grad_cam=methods_pb2.GradCam()),
        methods_pb2.Method(lime=methods_pb2.Lime(samples=100)),
    ]
    targets = [methods_pb2.Target(top_k=2)]
    options = methods_pb2.ExplainOptions(targets=targets)
    request = check_request(served(LAYERED), methods, options, METHODS, backends())
    grad_cam, lime = plan(request, Planner(24)).methods
    assert (grad_cam.method, grad_cam.model_calls, grad_cam.bytes_to_triton) == ("grad_cam", 2, 0)
    assert (lime.method, lime.model_calls) == ("lime", 100)
    assert lime.bytes_to_triton > 0
    assert not lime.HasField("seconds")
