import threading

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from explain_service.tick import Cancelled, Tick

from explain_service.gradient import integrated_gradients
from explain_service.methods import IntegratedGradients
from pellucid.serving.deadline import Deadline
from tests.twins import torch_twin, twin_card


def by_captum(picture, target, steps, baseline):
    module = torch_twin().eval()
    attributions, delta = CaptumIntegratedGradients(module).attribute(
        torch.from_numpy(picture[None]),
        baselines=baseline,
        target=target,
        n_steps=steps,
        method="gausslegendre",
        return_convergence_delta=True,
    )
    return attributions[0].sum(dim=0).numpy(), abs(float(delta))


@pytest.mark.parametrize("steps", [5, 20])
def test_both_frameworks_agree_with_captum(twin, framework, ask, picture, steps):
    question = ask(twin_card(framework), 0, 2, baseline=0.3)
    found = integrated_gradients.explain(
        IntegratedGradients(steps=steps), question, twin, Tick(total=steps)
    )
    for target, attribution in zip((0, 2), found, strict=True):
        expected, delta = by_captum(picture, target, steps, 0.3)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(attribution.map, expected, atol=2e-6)
        assert attribution.completeness_gap == pytest.approx(delta, abs=2e-6)


def test_more_steps_narrow_the_gap(twin, framework, ask):
    question = ask(twin_card(framework), 1)
    few, many = (
        integrated_gradients.explain(
            IntegratedGradients(steps=steps), question, twin, Tick(total=steps)
        )[0].completeness_gap
        for steps in (2, 60)
    )
    assert many < few
    assert many < 5e-3


def test_memory_is_bounded_by_the_chunk(twin, framework, ask, monkeypatch):
    sizes = []
    original = twin.gradients

    def recorded(inputs, scores):
        sizes.append(len(inputs))
        return original(inputs, scores)

    monkeypatch.setattr(twin, "gradients", recorded)
    question = ask(twin_card(framework), 0, 1)
    integrated_gradients.explain(IntegratedGradients(steps=10), question, twin, Tick(total=10))
    assert sizes == [4, 4, 2]


def test_a_cancel_stops_before_the_next_chunk(twin, framework, ask, monkeypatch):
    stop = threading.Event()
    original = twin.gradients
    calls = []

    def cancelled_meanwhile(inputs, scores):
        calls.append(len(inputs))
        stop.set()
        return original(inputs, scores)

    monkeypatch.setattr(twin, "gradients", cancelled_meanwhile)
    with pytest.raises(Cancelled):
        integrated_gradients.explain(
            IntegratedGradients(steps=100),
            ask(twin_card(framework)),
            twin,
            Tick(total=100, stop=stop),
        )
    assert calls == [4]


def test_when_the_time_is_up_what_is_there_stands_for_the_whole_path(twin, framework, ask):
    question = ask(twin_card(framework), 1)
    parameters = IntegratedGradients(steps=60)
    tick = Tick(total=60, deadline=Deadline.after(0))
    (early,) = integrated_gradients.explain(parameters, question, twin, tick)
    (full,) = integrated_gradients.explain(parameters, question, twin, Tick(total=60))
    assert early.truncated
    assert tick.done == 4 + integrated_gradients.ENDS
    assert np.corrcoef(early.map.ravel(), full.map.ravel())[0, 1] > 0.9
    assert full.completeness_gap < early.completeness_gap


def test_partial_maps_are_offered(twin, framework, ask, monkeypatch):
    monkeypatch.setattr("explain_service.tick.PARTIAL_EVERY_S", 0.0)
    shown = []
    tick = Tick(total=12, on_partial=shown.append)
    question = ask(twin_card(framework), 0, 1)
    integrated_gradients.explain(IntegratedGradients(steps=12), question, twin, tick)
    assert [len(maps) for maps in shown] == [2, 2]


def test_a_wide_gap_is_warned_of(twin, framework, ask, monkeypatch):
    monkeypatch.setattr(integrated_gradients, "WIDE_GAP", 0.0)
    (found,) = integrated_gradients.explain(
        IntegratedGradients(steps=2), ask(twin_card(framework)), twin, Tick(total=2)
    )
    assert "take more steps" in found.warnings[0]
