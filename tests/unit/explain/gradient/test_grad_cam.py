import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from explain_service.gradient.grad_cam import choose_layer, enlarge
from explain_service.tick import Tick

from explain_service.gradient import grad_cam
from explain_service.gradient.keras_copy import KerasCopy
from explain_service.gradient.torch_copy import TorchCopy
from explain_service.methods import GradCam
from pellucid.errors import DeadlineTooShort, InvalidArgument, MethodUnavailable
from pellucid.serving.deadline import Deadline
from tests.twins import SIZE, keras_twin, torch_twin, twin_card


def by_captum(picture, layer, target, relu):
    module = torch_twin().eval()
    method = LayerGradCam(module, module.get_submodule(layer))
    small = method.attribute(torch.from_numpy(picture[None]), target=target, relu_attributions=relu)
    large = LayerAttribution.interpolate(small, SIZE, "bilinear")
    return large[0, 0].detach().numpy()


@pytest.mark.parametrize("layer", ["features", "first"])
@pytest.mark.parametrize("positive_only", [True, False])
def test_both_frameworks_agree_with_captum(twin, framework, ask, picture, layer, positive_only):
    question = ask(twin_card(framework), 0, 2)
    parameters = GradCam(layer=layer, positive_only=positive_only)
    found = grad_cam.explain(parameters, question, twin, Tick(total=1))
    for target, attribution in zip((0, 2), found, strict=True):
        expected = by_captum(picture, layer, target, positive_only)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(attribution.map, expected, atol=1e-5)


def test_a_signed_map_has_both_signs_and_a_positive_one_has_not(twin, framework, ask):
    question = ask(twin_card(framework), 0)
    signed, positive = (
        grad_cam.explain(
            GradCam(layer="features", positive_only=only), question, twin, Tick(total=1)
        )[0].map
        for only in (False, True)
    )
    assert signed.min() < 0 < signed.max()
    assert positive.min() >= 0


def test_labels_of_one_logit_have_opposite_signed_maps(framework, ask):
    output = {"activation": "binary_sigmoid", "positive_label": "b"}
    card = twin_card(framework, labels=["a", "b"], output=output)
    if framework == "torch":
        model = TorchCopy(card, torch_twin(outputs=1), 4)
    else:
        model = KerasCopy(card, keras_twin(outputs=1), 4)
    parameters = GradCam(layer="features", positive_only=False)
    a, b = grad_cam.explain(parameters, ask(card, 0, 1), model, Tick(total=1))
    assert b.map.any()
    np.testing.assert_array_equal(a.map, -b.map)


def test_a_map_without_evidence_is_zero_and_not_nan(twin, framework, ask, monkeypatch):
    monkeypatch.setattr(twin, "layer_cam", lambda *_: np.full((3, 4), -1, np.float32))
    parameters = GradCam(layer="features", positive_only=True)
    (found,) = grad_cam.explain(parameters, ask(twin_card(framework)), twin, Tick(total=1))
    assert found.map.shape == SIZE
    assert not found.map.any()


@pytest.mark.parametrize("small", [(1, 1), (3, 4), (7, 7), (12, 16)])
def test_maps_are_enlarged_as_torch_does(small):
    values = np.random.default_rng(0).normal(size=small).astype(np.float32)
    expected = LayerAttribution.interpolate(torch.from_numpy(values)[None, None], SIZE, "bilinear")
    np.testing.assert_allclose(enlarge(values, SIZE), expected[0, 0].numpy(), atol=1e-6)


def test_an_unknown_layer_is_named_with_the_choices():
    with pytest.raises(InvalidArgument) as caught:
        choose_layer(("features", "first"), "nope", "methods[1].grad_cam.layer")
    assert caught.value.field == "methods[1].grad_cam.layer"
    assert "features, first" in caught.value.remedy


def test_a_card_without_layers_makes_grad_cam_unavailable():
    with pytest.raises(MethodUnavailable):
        choose_layer((), None, "methods[0].grad_cam.layer")


def test_the_default_layer_is_the_cards_first():
    assert choose_layer(("features", "first"), None, "") == "features"


def test_a_layer_without_rows_and_columns_is_refused(framework, ask):
    card = twin_card(
        framework,
        architecture={
            "framework": framework,
            "builder": f"{framework}_twin",
            "grad_cam_layers": ["head"],
        },
    )
    if framework == "torch":
        model = TorchCopy(card, torch_twin(), 4)
    else:
        model = KerasCopy(card, keras_twin(), 4)
    with pytest.raises(MethodUnavailable):
        grad_cam.explain(GradCam(layer="head"), ask(card), model, Tick(total=1))


def test_when_the_time_is_up_the_maps_that_are_made_are_kept(twin, framework, ask):
    class OneMap(Tick):
        """Its time is up after one step."""

        @property
        def too_late(self):
            return self.done > 0

    question = ask(twin_card(framework), 0, 2)
    found = grad_cam.explain(GradCam(layer="features"), question, twin, OneMap(total=2))
    assert len(found) == 1
    with pytest.raises(DeadlineTooShort):
        late = Tick(total=2, deadline=Deadline.after(0))
        grad_cam.explain(GradCam(layer="features"), question, twin, late)
