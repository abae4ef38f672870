from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam

from explain_service.attribution import Attribution
from explain_service.methods.base import Workload
from explain_service.methods.grad_cam import GradCam, enlarge
from explain_service.run_control import RunControl, TimeBudget
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import DeadlineTooShort, InvalidArgument, MethodUnavailable
from pellucid.parameters import resolve
from pellucid.serving.deadline import Deadline
from tests.support.cards import GREY, LAYERED
from tests.support.framework_pairs import SIZE, copy_of, pair_card, picture, torch_network
from tests.support.gradient_models import FlatGradients


def attribute(
    model: Any, inputs: Any, *, control: RunControl | None = None, **parameters: Any
) -> list[Attribution]:
    resolved = resolve(pb.GradCam(**{"layer": "features"} | parameters), "grad_cam")
    return GradCam().attribute(resolved, model, inputs, control or RunControl(total=1))


def by_captum(layer: str, target: int, relu: bool) -> Any:
    module = torch_network().eval()
    method = LayerGradCam(module, module.get_submodule(layer))
    x = torch.from_numpy(picture()[None])
    small = method.attribute(x, target=target, relu_attributions=relu)
    large = LayerAttribution.interpolate(small, SIZE, "bilinear")
    return large[0, 0].detach().numpy()


@pytest.mark.parametrize("layer", ["features", "first"])
@pytest.mark.parametrize("positive_only", [True, False])
def test_both_frameworks_agree_with_captum(network, framework, ask, layer, positive_only):
    inputs = ask(pair_card(framework), 0, 2)
    maps = attribute(network, inputs, layer=layer, positive_only=positive_only)
    for target, found in zip((0, 2), maps, strict=True):
        expected = by_captum(layer, target, positive_only)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found.map, expected, atol=1e-5)


def test_a_signed_map_has_both_signs_and_a_positive_one_has_not(network, framework, ask):
    inputs = ask(pair_card(framework), 0)
    (signed,) = attribute(network, inputs, positive_only=False)
    (positive,) = attribute(network, inputs, positive_only=True)
    assert signed.map.min() < 0 < signed.map.max()
    assert positive.map.min() >= 0


def test_only_what_speaks_for_the_target_is_shown_by_default(network, framework, ask):
    inputs = ask(pair_card(framework), 0)
    (unsaid,), (positive,) = (
        attribute(network, inputs),
        attribute(network, inputs, positive_only=True),
    )
    assert unsaid.map.tobytes() == positive.map.tobytes()


def test_labels_of_one_logit_have_opposite_signed_maps(framework, ask):
    output = {"activation": "binary_sigmoid", "positive_label": "b"}
    card = pair_card(framework, labels=["a", "b"], output=output)
    a, b = attribute(copy_of(card, outputs=1), ask(card, 0, 1), positive_only=False)
    assert b.map.any()
    np.testing.assert_array_equal(a.map, -b.map)


def test_a_map_without_evidence_is_zero_and_not_nan(ask):
    (found,) = attribute(FlatGradients(labels=3, value=-1.0), ask(pair_card("torch")))
    assert found.map.shape == SIZE
    assert not found.map.any()


@pytest.mark.parametrize("small", [(1, 1), (3, 4), (7, 7), (12, 16)])
def test_maps_are_enlarged_as_torch_does(small):
    values = np.random.default_rng(0).normal(size=small).astype(np.float32)
    expected = LayerAttribution.interpolate(torch.from_numpy(values)[None, None], SIZE, "bilinear")
    np.testing.assert_allclose(enlarge(values, SIZE), expected[0, 0].numpy(), atol=1e-6)


def test_an_unknown_layer_is_named_with_the_choices():
    with pytest.raises(InvalidArgument) as caught:
        GradCam().resolve(pb.GradCam(layer="nope"), LAYERED, "methods[1].grad_cam")
    assert caught.value.field == "methods[1].grad_cam.layer"
    assert "features, first" in caught.value.remedy


def test_a_card_without_layers_makes_it_unavailable():
    assert "no layer" in GradCam().missing(GREY)
    with pytest.raises(MethodUnavailable):
        GradCam().resolve(pb.GradCam(), GREY, "methods[0].grad_cam")


def test_the_default_layer_is_the_cards_first():
    assert GradCam().resolve(pb.GradCam(), LAYERED, "methods[0].grad_cam").layer == "features"
    assert GradCam().choices(LAYERED) == {"layer": ("features", "first")}


def test_a_layer_without_rows_and_columns_is_refused(framework, ask):
    architecture = {
        "framework": framework,
        "builder": f"{framework}_network",
        "grad_cam_layers": ["head"],
    }
    card = pair_card(framework, architecture=architecture)
    with pytest.raises(MethodUnavailable):
        attribute(copy_of(card), ask(card), layer="head")


def test_when_the_time_is_up_the_maps_that_are_made_are_kept(network, framework, ask):
    class OneMap(RunControl):
        """Its time is up after one map."""

        @property
        def too_late(self) -> bool:
            return self.progress.done > 0

    inputs = ask(pair_card(framework), 0, 2)
    assert len(attribute(network, inputs, control=OneMap(total=2))) == 1
    over = RunControl(total=2, budget=TimeBudget(deadline=Deadline.after(0)))
    with pytest.raises(DeadlineTooShort):
        attribute(network, inputs, control=over)


def test_it_is_paid_for_each_target():
    work = Workload(card=LAYERED, segments=50, targets=3, baseline_is_constant=True)
    assert GradCam().calls(pb.GradCam(), work) == 3


@pytest.mark.parametrize(
    ("framework_name", "names"),
    [("torch", {"torch", "captum"}), ("keras", {"tensorflow", "keras"})],
)
def test_libraries_name_the_framework(ask, framework_name, names):
    assert set(GradCam().libraries(ask(pair_card(framework_name)))) == names
