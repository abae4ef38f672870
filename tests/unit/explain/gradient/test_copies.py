"""Which copy a model gets, when it is checked, and how long it is kept."""

import gc
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from explain_service.gradient.copies import GradientCopies, Predict
from explain_service.gradient.loading import NoCopy
from explain_service.gradient.model import GradientModel, Head
from explain_service.methods.base import Backends
from explain_service.methods.grad_cam import GradCam
from explain_service.methods.integrated_gradients import IntegratedGradients
from explain_service.run_control import Cancellation, Cancelled, RunControl, TimeBudget
from pellucid.errors import BackendUnavailable, DeadlineTooShort, MethodUnavailable
from pellucid.parity import PROBES
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray
from tests.unit.explain.gradient.conftest import Serve, changed

DRIFTS = "differ from the served ones"


class Clock:
    """Tells the time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Triton:
    """Answers the probes, unless it is away or of other weights, and counts what it is asked."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.asked: list[tuple[str, str, int]] = []
        self.away = False
        self.drift = 0.0

    def __call__(self, model: ServedModel, inputs: FloatArray) -> FloatArray:
        self.asked.append((model.card.name, model.version, len(inputs)))
        if self.away:
            raise BackendUnavailable("Triton does not answer")
        return self._predict(model, inputs) + np.array([self.drift, 0, 0], np.float32)


@pytest.fixture
def triton(predict: Predict) -> Triton:
    return Triton(predict)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(tmp_path: Path, triton: Triton, clock: Clock) -> GradientCopies:
    return GradientCopies(tmp_path, triton, clock=clock)


def checked(copies: GradientCopies, model: ServedModel) -> GradientModel:
    return copies.checked(model, RunControl(total=0))


def measured(name: str, model: ServedModel) -> float | None:
    return REGISTRY.get_sample_value(name, {"model": model.card.name})


def test_a_copy_is_loaded_checked_and_used(copies: GradientCopies, model: Any, ask: Any) -> None:
    assert copies.unavailable(model) == ""
    assert copies.parity(model) is None
    inputs = replace(ask(model.card, 0, 2), model=model)
    calls: Any = None
    for method in (GradCam(), IntegratedGradients()):
        parameters = method.defaults(model.card)
        backends = Backends(calls, copies)
        assert method.unavailable(model, backends) == ""
        assert len(method.explain(parameters, inputs, backends, RunControl(total=60))) == 2
    parity = copies.parity(model)
    assert parity is not None
    assert parity.passed
    assert parity.probes == PROBES
    assert 0 < parity.max_score_difference < 1e-2
    assert measured("pellucid_copy_difference", model) == parity.max_score_difference
    assert measured("pellucid_copy_refused", model) == 0


def test_requests_at_once_load_a_copy_once(
    copies: GradientCopies, model: Any, triton: Triton
) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: checked(copies, model), range(16)))
    assert {id(one) for one in found} == {id(found[0])}
    assert [rows for _, _, rows in triton.asked] == [PROBES]


def test_a_copy_that_drifts_is_refused_with_the_difference(
    copies: GradientCopies, model: Any, triton: Triton, ask: Any
) -> None:
    triton.drift = 1.0
    with pytest.raises(NoCopy, match=DRIFTS):
        checked(copies, model)
    parity = copies.parity(model)
    assert parity is not None
    assert not parity.passed
    assert DRIFTS in copies.unavailable(model)
    assert measured("pellucid_copy_refused", model) == 1


def test_a_method_without_a_copy_is_unavailable_and_says_why(
    copies: GradientCopies, model: Any, triton: Triton, ask: Any
) -> None:
    triton.drift = 1.0
    inputs, calls = replace(ask(model.card), model=model), None
    method: Any = GradCam()
    with pytest.raises(MethodUnavailable) as caught:
        method.explain(
            method.defaults(model.card), inputs, Backends(calls, copies), RunControl(total=1)
        )
    assert DRIFTS in caught.value.message
    assert caught.value.metadata["method"] == "grad_cam"


def test_a_copy_is_not_refused_while_triton_is_away(
    copies: GradientCopies, model: Any, triton: Triton
) -> None:
    triton.away = True
    with pytest.raises(BackendUnavailable):
        checked(copies, model)
    assert copies.unavailable(model) == ""
    triton.away = False
    assert checked(copies, model) is checked(copies, model)


def test_a_refused_copy_is_checked_again_after_a_while_that_doubles_each_time(
    copies: GradientCopies, model: Any, triton: Triton, clock: Clock
) -> None:
    triton.drift = 1.0
    checks = []
    for seconds in (0, 4, 2, 8, 3, 19, 2):
        clock.now += seconds
        with pytest.raises(NoCopy, match=DRIFTS):
            checked(copies, model)
        checks.append(len(triton.asked))
    assert checks == [1, 1, 2, 2, 3, 3, 4]


def test_a_refused_copy_is_checked_again_five_minutes_later_at_the_latest(
    copies: GradientCopies, model: Any, triton: Triton, clock: Clock
) -> None:
    triton.drift = 1.0
    for _ in range(12):
        with pytest.raises(NoCopy):
            checked(copies, model)
        clock.now += 300
    assert len(triton.asked) == 12


def test_who_asks_whether_there_is_a_copy_has_a_refused_one_checked_again(
    copies: GradientCopies, model: Any, triton: Triton, clock: Clock
) -> None:
    triton.drift = 1.0
    with pytest.raises(NoCopy):
        checked(copies, model)
    triton.drift = 0.0
    assert DRIFTS in copies.unavailable(model)
    assert len(triton.asked) == 1
    clock.now += 6
    copies.unavailable(model)
    assert checked(copies, model)
    assert copies.unavailable(model) == ""
    assert len(triton.asked) == 2


def test_weights_that_are_not_served_are_refused_until_they_are(
    copies: GradientCopies, model: Any
) -> None:
    stale = replace(model, weights_digest="0" * 64)
    assert "not those that are served" in copies.unavailable(stale)
    with pytest.raises(NoCopy):
        checked(copies, stale)
    assert checked(copies, model)


@pytest.mark.parametrize("facts", [{"arguments": {"outputs": 5}}, {"grad_cam_layers": ["nope"]}])
def test_what_does_not_fit_together_is_refused_with_the_reason(
    copies: GradientCopies, model: Any, facts: Any
) -> None:
    wrong = changed(model, **facts)
    with pytest.raises(NoCopy):
        checked(copies, wrong)
    assert "cannot be built" in copies.unavailable(wrong)


def test_a_card_without_layers_leaves_integrated_gradients(
    copies: GradientCopies, model: Any
) -> None:
    calls: Any = None
    without, backends = changed(model, grad_cam_layers=()), Backends(calls, copies)
    assert "names no layer" in GradCam().unavailable(without, backends)
    assert IntegratedGradients().unavailable(without, backends) == ""


def test_models_with_the_same_weights_and_architecture_share_a_copy(
    copies: GradientCopies, serve: Serve, triton: Triton
) -> None:
    first, second = serve("first"), serve("second")
    assert checked(copies, first) is checked(copies, second)
    # But each is compared with what is served under its own name.
    assert [name for name, _, _ in triton.asked] == ["first", "second"]


def test_models_with_other_weights_have_copies_of_their_own(
    copies: GradientCopies, serve: Serve
) -> None:
    first, second = serve("first"), serve("second", scale=0.999)
    assert checked(copies, first) is not checked(copies, second)


def test_versions_that_take_turns_do_not_load_each_other_out(
    copies: GradientCopies, serve: Serve, triton: Triton
) -> None:
    """As two Tritons behind one address do, while one of them is a version behind."""
    old, new = serve(version="1"), serve(version="2", scale=0.999)
    found = [checked(copies, model) for model in (old, new) * 4]
    assert {id(one) for one in found} == {id(found[0]), id(found[1])}
    assert [version for _, version, _ in triton.asked] == ["1", "2"]


def test_the_copy_that_was_not_used_for_longest_leaves_the_memory(
    tmp_path: Path, serve: Serve, triton: Triton
) -> None:
    models = [serve(f"network_{n}", scale=1 - n / 1_000) for n in range(3)]
    size = 2 * (tmp_path / "network_0" / "1" / "weights.safetensors").stat().st_size
    copies = GradientCopies(tmp_path, triton, memory_bytes=2 * size)
    alive = [weakref.ref(checked(copies, model)) for model in models[:2]]
    checked(copies, models[0])
    checked(copies, models[2])
    gc.collect()
    assert alive[0]() is not None
    assert alive[1]() is None
    asked = len(triton.asked)
    assert checked(copies, models[1])
    assert len(triton.asked) == asked + 1


def test_one_copy_is_kept_however_small_the_memory(
    tmp_path: Path, model: Any, triton: Triton
) -> None:
    copies = GradientCopies(tmp_path, triton, memory_bytes=1)
    assert checked(copies, model) is checked(copies, model)


def test_a_check_of_a_version_long_gone_is_forgotten(copies: GradientCopies, serve: Serve) -> None:
    versions = [serve(version=str(number)) for number in range(1, 11)]
    for version in versions:
        checked(copies, version)
    assert copies.parity(versions[0]) is None
    assert copies.parity(versions[-1]) is not None


def test_who_waits_for_a_copy_may_be_cancelled_and_the_loading_goes_on(
    tmp_path: Path, model: Any, triton: Triton
) -> None:
    asked, answers = Event(), Event()

    def slow(served: ServedModel, inputs: FloatArray) -> FloatArray:
        asked.set()
        assert answers.wait(10)
        return triton(served, inputs)

    copies, cancellation = GradientCopies(tmp_path, slow), Cancellation()
    with ThreadPoolExecutor(1) as threads:
        control = RunControl(total=0, cancellation=cancellation)
        waiting: Future[Any] = threads.submit(copies.checked, model, control)
        assert asked.wait(10)
        cancellation.cancel()
        with pytest.raises(Cancelled):
            waiting.result(10)
    hurried = RunControl(total=0, budget=TimeBudget(deadline=Deadline.after(0.1)))
    with pytest.raises(DeadlineTooShort):
        copies.checked(model, hurried)
    answers.set()
    assert checked(copies, model)
    assert len(triton.asked) == 1


def test_a_copy_gives_the_gradients_of_the_weights_in_the_file(
    copies: GradientCopies, model: Any, network: GradientModel, ask: Any
) -> None:
    x = ask(model.card).tensor[None]
    heads = [Head.of(model.card, 1, probability=False)]
    mine, theirs = (one.gradients(x, heads) for one in (checked(copies, model), network))
    np.testing.assert_allclose(mine, theirs, atol=1e-2 * float(np.abs(theirs).max()))
