"""From a folder to a checked copy, or to the reason why there is none."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from explain_service.gradient.grad_cam import NO_LAYERS
from explain_service.tick import Tick

from explain_service.gradient import GradientCopies
from explain_service.gradient.parity import PROBES, compare, probes
from explain_service.methods import GradCam, IntegratedGradients
from pellucid.architectures import BUILDERS
from pellucid.architectures.weights import save_keras, save_torch
from pellucid.cards import Card
from pellucid.errors import BackendUnavailable, MethodUnavailable
from pellucid.serving.triton import ServedModel
from tests import twins as networks

IG = IntegratedGradients.name


@pytest.fixture
def model(framework, tmp_path, monkeypatch):
    """A served twin with its weights in the repository `tmp_path`."""
    for name, place in networks.BUILDERS.items():
        monkeypatch.setitem(BUILDERS, name, place)
    card = networks.twin_card(framework)
    file = networks.write_folder(tmp_path, card) / "weights.safetensors"
    if framework == "torch":
        save_torch(networks.torch_twin(), file)
    else:
        save_keras(networks.keras_twin(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return ServedModel(card, "1", digest, masked=True)


@pytest.fixture(scope="session")
def predict(twins):
    """Answers as Triton would: the twin without the rounding of the weights, in any layout."""

    def answer(model, inputs):
        return twins[model.card.architecture.framework].logits(inputs)

    return answer


def changed(model, **facts):
    architecture = {**model.card.architecture.model_dump(), **facts}
    card = {**model.card.model_dump(), "architecture": architecture}
    return replace(model, card=Card.model_validate(card))


def test_a_copy_is_loaded_checked_and_used(tmp_path, model, predict, ask):
    copies = GradientCopies(tmp_path, predict)
    assert copies.unavailable(model, GradCam.name) == ""
    assert copies.parity(model) is None
    question = replace(ask(model.card, 0, 2), model=model)
    parameters = copies.resolve(model, GradCam(), "methods[0].grad_cam")
    assert parameters == GradCam(layer="features")
    assert len(copies.explain(parameters, question, Tick(total=1))) == 2
    assert len(copies.explain(IntegratedGradients(steps=4), question, Tick(total=4))) == 2
    parity = copies.parity(model)
    assert parity.passed
    assert parity.probes == PROBES
    assert 0 < parity.max_score_difference < 1e-2


def test_requests_at_once_load_a_copy_once(tmp_path, model, predict):
    asked = []

    def counted(served, inputs):
        asked.append(len(inputs))
        return predict(served, inputs)

    copies = GradientCopies(tmp_path, counted)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(copies.load, [model] * 16))
    assert asked == [PROBES]


def test_a_copy_that_drifts_is_refused_with_the_difference(tmp_path, model, predict):
    def drifted(served, inputs):
        return predict(served, inputs) + np.array([1.0, 0, 0], np.float32)

    copies = GradientCopies(tmp_path, drifted)
    with pytest.raises(MethodUnavailable) as caught:
        copies.load(model)
    assert "differ from the served ones" in caught.value.message
    assert not copies.parity(model).passed
    assert "differ from the served ones" in copies.unavailable(model, IG)


def test_scores_that_are_not_finite_never_pass():
    card = networks.twin_card("torch")
    parity = compare(card, lambda x: np.full((len(x), 3), np.nan), lambda x: np.zeros((len(x), 3)))
    assert not parity.passed
    assert parity.max_score_difference == 1


def test_a_copy_is_not_refused_for_good_while_triton_is_away(tmp_path, model, predict):
    away = [True]

    def sometimes(served, inputs):
        if away[0]:
            raise BackendUnavailable("Triton does not answer")
        return predict(served, inputs)

    copies = GradientCopies(tmp_path, sometimes)
    with pytest.raises(BackendUnavailable):
        copies.load(model)
    assert copies.unavailable(model, IG) == ""
    away[0] = False
    copies.load(model)


def test_weights_that_are_not_served_are_refused_until_they_are(tmp_path, model, predict):
    copies = GradientCopies(tmp_path, predict)
    stale = replace(model, weights_digest="0" * 64)
    assert "not those that are served" in copies.unavailable(stale, IG)
    with pytest.raises(MethodUnavailable):
        copies.load(stale)
    copies.load(model)


def test_missing_weights_are_refused(tmp_path, model, predict):
    copies = GradientCopies(tmp_path / "elsewhere", predict)
    assert "weights.safetensors" in copies.unavailable(model, IG)
    with pytest.raises(MethodUnavailable):
        copies.load(model)


def test_a_served_model_without_a_digest_is_refused(tmp_path, model, predict):
    reason = GradientCopies(tmp_path, predict).unavailable(replace(model, weights_digest=""), IG)
    assert "does not say which weights" in reason


def test_an_unknown_builder_is_named(tmp_path, model, predict):
    reason = GradientCopies(tmp_path, predict).unavailable(changed(model, builder="nope"), IG)
    assert "'nope'" in reason


def test_a_card_without_an_architecture_is_refused(tmp_path, model, predict):
    card = model.card.model_copy(update={"architecture": None})
    copies = GradientCopies(tmp_path, predict)
    assert "names no architecture" in copies.unavailable(replace(model, card=card), IG)
    assert copies.parity(replace(model, card=card)) is None


def test_a_card_without_layers_leaves_integrated_gradients(tmp_path, model, predict):
    copies = GradientCopies(tmp_path, predict)
    without = changed(model, grad_cam_layers=())
    assert copies.unavailable(without, GradCam.name) == NO_LAYERS
    assert copies.unavailable(without, IG) == ""


@pytest.mark.parametrize("facts", [{"arguments": {"outputs": 5}}, {"grad_cam_layers": ["nope"]}])
def test_what_does_not_fit_together_is_refused_with_the_reason(tmp_path, model, predict, facts):
    copies = GradientCopies(tmp_path, predict)
    wrong = changed(model, **facts)
    with pytest.raises(MethodUnavailable):
        copies.load(wrong)
    assert "cannot be built" in copies.unavailable(wrong, IG)


def test_copies_of_models_that_went_are_dropped(tmp_path, model, predict):
    copies = GradientCopies(tmp_path, predict)
    copies.load(model)
    copies.keep([model])
    assert copies.parity(model) is not None
    copies.keep([])
    assert copies.parity(model) is None


def test_libraries_name_the_framework(tmp_path, model, framework, predict):
    found = GradientCopies(tmp_path, predict).libraries(model, GradCam.name)
    assert {"torch": "torch", "keras": "tensorflow"}[framework] in found


@pytest.mark.parametrize("name", ["torch", "keras"])
def test_probes_stay_in_the_range_of_the_contract_and_never_change(name):
    card = networks.twin_card(name)
    found = probes(card)
    assert found.shape == (PROBES, *card.preprocess.shape)
    assert found.min() == -2
    assert found.max() == 2
    np.testing.assert_array_equal(found, probes(card))
