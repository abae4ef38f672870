"""Gradients and attributions with a closed form."""

import numpy as np
import pytest
from explain_service.tick import Tick

from explain_service.gradient import integrated_gradients
from explain_service.gradient.model import Score
from explain_service.methods import IntegratedGradients
from pellucid.scores import label_logits, probabilities

BINARY = {
    "labels": ["well", "ill"],
    "output": {"activation": "binary_sigmoid", "positive_label": "ill"},
}
OUTPUTS = [{}, {"output": {"activation": "sigmoid"}}, BINARY]


def summed(values, card):
    return values.sum(axis=0 if card.preprocess.layout == "CHW" else 2)


def test_the_gradient_is_the_weights(linear, ask):
    model, weights, card = linear()
    inputs = np.stack([ask(card).input] * 2)
    gradients = model.gradients(inputs, [Score(0, False), Score(2, False)])
    expected = np.stack([np.stack([weights[label]] * 2) for label in (0, 2)])
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_gradient_is_that_of_the_score_on_either_scale(linear, ask, output):
    model, _, card = linear(**output)
    x = ask(card).input
    step = 1e-2 * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    around = np.stack([x - step, x + step])
    for convert, probability in ((label_logits, False), (probabilities, True)):
        scores = convert(card, model.logits(around)).astype(np.float64)
        for label in range(len(card.labels)):
            gradient = model.gradients(x[None], [Score(label, probability)])[0, 0]
            rise = scores[1, label] - scores[0, label]
            assert (2 * gradient * step).sum() == pytest.approx(rise, rel=2e-2, abs=1e-5)


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_integrated_gradients_are_weight_times_difference(linear, ask, steps):
    model, weights, card = linear()
    question = ask(card, 0, 2, baseline=-0.5)
    tick = Tick(total=steps)
    found = integrated_gradients.explain(IntegratedGradients(steps=steps), question, model, tick)
    for label, attribution in zip((0, 2), found, strict=True):
        expected = summed(weights[label] * (question.input + 0.5), card)
        np.testing.assert_allclose(attribution.map, expected, atol=1e-6)
        assert attribution.completeness_gap < 1e-5
        assert not attribution.truncated
        assert not attribution.warnings
    assert tick.done == steps + integrated_gradients.ENDS


def test_the_negative_class_has_the_opposite_map(linear, ask):
    model, weights, card = linear(**BINARY)
    question = ask(card, 0, 1)
    well, ill = integrated_gradients.explain(IntegratedGradients(), question, model, Tick(total=50))
    np.testing.assert_allclose(ill.map, summed(weights[0] * question.input, card), atol=1e-6)
    np.testing.assert_array_equal(well.map, -ill.map)


def test_probabilities_of_two_labels_have_opposite_maps(linear, ask):
    model, _, card = linear(**BINARY)
    question = ask(card, 0, 1, probability=True)
    well, ill = integrated_gradients.explain(IntegratedGradients(), question, model, Tick(total=50))
    np.testing.assert_allclose(well.map, -ill.map, atol=1e-6)
    assert ill.completeness_gap < 1e-5


def test_an_input_equal_to_its_baseline_has_a_map_of_zeros(linear, ask):
    model, _, card = linear()
    question = ask(card, 1)
    same = type(question)(**{**vars(question), "baseline": question.input[None]})
    (found,) = integrated_gradients.explain(IntegratedGradients(), same, model, Tick(total=50))
    assert not found.map.any()
    assert found.completeness_gap == 0
    assert not found.warnings
