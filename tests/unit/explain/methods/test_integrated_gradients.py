from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from explain_service.attribution import Attribution
from explain_service.gradient.model import Head
from explain_service.methods.base import Workload
from explain_service.methods.integrated_gradients import (
    REFERENCES,
    IntegratedGradients,
    integrated_gradients,
)
from explain_service.run_control import Cancellation, Cancelled, RunControl, TimeBudget
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.parameters import resolve
from pellucid.serving.deadline import Deadline
from tests.support.cards import LAYERED
from tests.support.framework_pairs import pair_card, picture, torch_network
from tests.support.gradient_models import FlatGradients, WatchedGradients
from tests.support.masked_models import measure_of

BINARY = {
    "labels": ["well", "ill"],
    "output": {"activation": "binary_sigmoid", "positive_label": "ill"},
}


def attribute(
    model: Any, inputs: Any, *, control: RunControl | None = None, **parameters: Any
) -> list[Attribution]:
    resolved = resolve(pb.IntegratedGradients(**parameters), "integrated_gradients")
    control = control or RunControl(total=resolved.steps)
    return IntegratedGradients().attribute(resolved, model, inputs, control)


def gap(found: Attribution) -> float:
    return measure_of(found, "completeness_gap")


def by_captum(target: int, steps: int, baseline: float) -> tuple[Any, float]:
    attributions, delta = CaptumIntegratedGradients(torch_network().eval()).attribute(
        torch.from_numpy(picture()[None]),
        baselines=baseline,
        target=target,
        n_steps=steps,
        method="gausslegendre",
        return_convergence_delta=True,
    )
    return attributions[0].sum(dim=0).numpy(), abs(float(delta))


@pytest.mark.parametrize("steps", [5, 20])
def test_both_frameworks_agree_with_captum(network, framework, ask, steps):
    inputs = ask(pair_card(framework), 0, 2, baseline=0.3)
    maps = attribute(network, inputs, steps=steps)
    for target, found in zip((0, 2), maps, strict=True):
        expected, delta = by_captum(target, steps, 0.3)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found.map, expected, atol=2e-6)
        assert gap(found) == pytest.approx(delta, abs=2e-6)


def test_more_steps_narrow_the_gap(network, framework, ask):
    inputs = ask(pair_card(framework), 1)
    few, many = (gap(attribute(network, inputs, steps=steps)[0]) for steps in (2, 60))
    assert many < few
    assert many < 5e-3


def test_memory_is_bounded_by_the_chunk(network, framework, ask):
    sizes: list[int] = []
    watched = WatchedGradients(network, sizes.append)
    attribute(watched, ask(pair_card(framework), 0, 1), steps=10)
    assert sizes == [4, 4, 2]


def test_a_cancel_stops_before_the_next_chunk(network, framework, ask):
    cancellation, sizes = Cancellation(), []

    def cancelled_meanwhile(size: int) -> None:
        sizes.append(size)
        cancellation.cancel()

    control = RunControl(total=100, cancellation=cancellation)
    watched = WatchedGradients(network, cancelled_meanwhile)
    with pytest.raises(Cancelled):
        attribute(watched, ask(pair_card(framework)), steps=100, control=control)
    assert sizes == [4]


def test_when_the_time_is_up_what_is_there_stands_for_the_whole_path(network, framework, ask):
    inputs = ask(pair_card(framework), 1)
    over = RunControl(total=60, budget=TimeBudget(deadline=Deadline.after(0)))
    (early,) = attribute(network, inputs, steps=60, control=over)
    (full,) = attribute(network, inputs, steps=60)
    assert early.truncated
    assert over.progress.done == 4 + REFERENCES
    assert np.corrcoef(early.map.ravel(), full.map.ravel())[0, 1] > 0.9
    assert gap(full) < gap(early)


def test_partial_maps_are_offered(network, framework, ask):
    shown: list[list[Attribution]] = []
    control = RunControl(total=12, on_partial=shown.append, partial_every_s=0)
    attribute(network, ask(pair_card(framework), 0, 1), steps=12, control=control)
    assert [len(maps) for maps in shown] == [2, 2]


def test_a_wide_gap_is_warned_of():
    x = np.ones((1, 4, 4), np.float32)
    for rise, warned in ((16.0, False), (20.0, True)):
        (found,) = integrated_gradients(
            FlatGradients(),
            x,
            np.zeros_like(x),
            [Head(0, 1.0, None)],
            np.array([rise]),
            steps=2,
            channel_axis=0,
            control=RunControl(total=2),
        )
        assert any("take more steps" in warning for warning in found.warnings) is warned


def summed(values, card):
    return values.sum(axis=card.preprocess.channel_axis)


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_of_a_linear_model_they_are_weight_times_difference(linear, ask, steps):
    model, weights, card = linear()
    inputs = ask(card, 0, 2, baseline=-0.5)
    control = RunControl(total=steps)
    for label, found in zip(
        (0, 2), attribute(model, inputs, steps=steps, control=control), strict=True
    ):
        expected = summed(weights[label] * (inputs.tensor + 0.5), card)
        np.testing.assert_allclose(found.map, expected, atol=1e-6)
        assert gap(found) < 1e-5
        assert not found.truncated
        assert not found.warnings
    assert control.progress.done == steps + REFERENCES


def test_the_negative_class_has_the_opposite_map(linear, ask):
    model, weights, card = linear(**BINARY)
    inputs = ask(card, 0, 1)
    well, ill = attribute(model, inputs)
    np.testing.assert_allclose(ill.map, summed(weights[0] * inputs.tensor, card), atol=1e-6)
    np.testing.assert_array_equal(well.map, -ill.map)


def test_probabilities_of_two_labels_have_opposite_maps(linear, ask):
    model, _, card = linear(**BINARY)
    well, ill = attribute(model, ask(card, 0, 1, probability=True))
    np.testing.assert_allclose(well.map, -ill.map, atol=1e-6)
    assert gap(ill) < 1e-5


def test_an_input_equal_to_its_baseline_has_a_map_of_zeros(linear, ask):
    model, _, card = linear()
    inputs = ask(card, 1)
    (found,) = attribute(model, replace(inputs, baseline=inputs.tensor[None]))
    assert not found.map.any()
    assert gap(found) == 0
    assert not found.warnings


def test_a_path_is_paid_for_once_whatever_the_targets():
    work = Workload(card=LAYERED, segments=50, targets=3, baseline_is_constant=True)
    assert IntegratedGradients().calls(pb.IntegratedGradients(steps=10), work) == 12
