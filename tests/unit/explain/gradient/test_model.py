"""What a copy differentiates, in both frameworks, where it has a closed form."""

import numpy as np
import pytest

from explain_service.gradient.model import Head
from pellucid.scores import label_logits, probabilities

BINARY = {
    "labels": ["well", "ill"],
    "output": {"activation": "binary_sigmoid", "positive_label": "ill"},
}
OUTPUTS = [{}, {"output": {"activation": "sigmoid"}}, BINARY]


def test_the_gradient_is_the_weights(linear, ask):
    model, weights, card = linear()
    inputs = np.stack([ask(card).tensor] * 2)
    heads = [Head.of(card, label, probability=False) for label in (0, 2)]
    expected = np.stack([np.stack([weights[label]] * 2) for label in (0, 2)])
    np.testing.assert_allclose(model.gradients(inputs, heads), expected, rtol=1e-6)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_gradient_is_that_of_the_score_on_either_scale(linear, ask, output):
    model, _, card = linear(**output)
    x = ask(card).tensor
    step = 1e-2 * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    around = np.stack([x - step, x + step])
    for convert, probability in ((label_logits, False), (probabilities, True)):
        scores = convert(card, model.logits(around)).astype(np.float64)
        for label in range(len(card.labels)):
            head = Head.of(card, label, probability=probability)
            gradient = model.gradients(x[None], [head])[0, 0]
            rise = scores[1, label] - scores[0, label]
            assert (2 * gradient * step).sum() == pytest.approx(rise, rel=2e-2, abs=1e-5)


def test_logits_of_any_number_of_inputs_are_those_of_each_alone(network, framework, ask):
    from tests.support.framework_pairs import pair_card

    x = ask(pair_card(framework)).tensor
    inputs = np.stack([x * scale for scale in (0.1, 0.5, 1, 2, 3)])
    alone = np.concatenate([network.logits(one[None]) for one in inputs])
    np.testing.assert_allclose(network.logits(inputs), alone, atol=1e-6)
