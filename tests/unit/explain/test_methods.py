"""The perturbation methods against closed forms and against the libraries they come from."""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import pytest
from explain_service.parameters import Parameters
from explain_service.perturbation.family import explain_by_masks
from explain_service.perturbation.lime import draw_masks
from explain_service.perturbation.occlusion import Windows, explain_occlusion
from explain_service.tick import PARTIAL_EVERY_S, Cancelled, Tick
from lime.lime_image import LimeImageExplainer
from numpy.typing import NDArray

from explain_service.attribution import Attribution
from explain_service.methods import KernelShap, Lime, Occlusion, PartitionShap
from explain_service.segmentation import SegmentMap
from pellucid.errors import DeadlineTooShort
from tests.unit.explain.fakes import FakeMaskedModel, Floats, linear, with_interactions

SAMPLING = (Lime(samples=400), KernelShap(samples=400), PartitionShap(evaluations=200))
ALL = (*SAMPLING, Occlusion(window_height=0.25, window_width=0.25))


def grid(side: int, cell: int = 4) -> SegmentMap:
    rows = np.arange(side * cell) // cell
    return (rows[:, None] * side + rows).astype(np.uint16)


def explain(
    parameters: Parameters,
    function: Callable[[Floats], Floats],
    segments: SegmentMap,
    *,
    targets: Sequence[int] = (0,),
    seed: int = 0,
    tick: Tick | None = None,
    stop_after: int | None = None,
) -> list[Attribution]:
    tick = tick or Tick(total=100)

    def masked(cut: SegmentMap) -> FakeMaskedModel:
        return FakeMaskedModel(function, int(cut.max()) + 1, tick, stop_after=stop_after)

    return explain_by_masks(parameters, masked, segments, targets, seed, tick)


def weights(segments: int, labels: int = 2, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(segments, labels))


def shapley(function: Callable[[Floats], Floats], segments: int, label: int) -> Floats:
    """By enumeration of all orders."""
    values, count = np.zeros(segments), 0
    masks = np.array([[n >> k & 1 for k in range(segments)] for n in range(2**segments)], float)
    scores = function(masks)[:, label]
    for order in permutations(range(segments)):
        kept, count = 0, count + 1
        for segment in order:
            values[segment] += scores[kept | 1 << segment] - scores[kept]
            kept |= 1 << segment
    return values / count


def test_kernel_shap_of_a_linear_model_is_its_weights() -> None:
    expected = weights(16)
    first, second = explain(KernelShap(), linear(expected), grid(4), targets=(1, 0))
    assert first.segment_values == pytest.approx(expected[:, 1], abs=1e-5)
    assert second.segment_values == pytest.approx(expected[:, 0], abs=1e-5)
    assert first.additivity_gap == pytest.approx(0, abs=1e-6)


def test_kernel_shap_with_all_coalitions_gives_the_shapley_values() -> None:
    function = with_interactions(3, 7)
    segments = np.arange(7, dtype=np.uint16)[np.newaxis]
    (found,) = explain(KernelShap(samples=128), function, segments, targets=(1,))
    assert found.segment_values == pytest.approx(shapley(function, 7, 1), abs=1e-5)
    assert found.segment_low == pytest.approx(found.segment_high)


def test_partition_shap_of_a_linear_model_is_its_weights() -> None:
    expected = weights(16)
    (found,) = explain(PartitionShap(evaluations=1000), linear(expected), grid(4))
    assert found.segment_values == pytest.approx(expected[:, 0], abs=1e-5)


def test_partition_shap_adds_up_also_where_segments_depend_on_each_other() -> None:
    for evaluations in (10, 50, 2000):
        parameters = PartitionShap(evaluations=evaluations)
        (found,) = explain(parameters, with_interactions(1, 16), grid(4))
        assert found.additivity_gap == pytest.approx(0, abs=1e-5)


def test_partition_shap_warns_of_groups_that_share_their_credit_evenly() -> None:
    few, enough = (
        explain(PartitionShap(evaluations=evaluations), with_interactions(1, 16), grid(4))[0]
        for evaluations in (50, 2000)
    )
    assert "groups of segments" in few.warnings[0]
    assert not enough.warnings


def test_lime_of_a_linear_model_is_nearly_its_weights() -> None:
    expected = weights(16)
    (found,) = explain(Lime(samples=2000, ridge=0.0), linear(expected), grid(4))
    assert found.segment_values == pytest.approx(expected[:, 0], abs=1e-5)
    assert found.r_squared == pytest.approx(1, abs=1e-9)


def test_lime_equals_the_lime_library_on_the_same_masks() -> None:
    segments, function = grid(3), with_interactions(5, 9)
    masks = draw_masks(200, 9, seed=4)

    class Library(LimeImageExplainer):  # type: ignore[misc]
        def data_labels(self, *_: object, **__: object) -> tuple[object, object]:
            return masks.astype(np.int64), function(masks.astype(float)).astype(np.float32)

    picture = np.zeros((*segments.shape, 3))
    library = Library(kernel_width=0.4, feature_selection="none").explain_instance(
        picture,
        None,
        labels=(1,),
        top_labels=None,
        num_features=9,
        segmentation_fn=lambda _: segments,
    )
    (found,) = explain(
        Lime(samples=200, kernel_width=0.4), function, segments, targets=(1,), seed=4
    )
    expected = [value for _, value in sorted(library.local_exp[1])]
    assert found.segment_values == pytest.approx(expected, abs=1e-6)
    assert found.r_squared == pytest.approx(library.score, abs=1e-6)


def test_occlusion_averages_what_each_window_takes_away() -> None:
    windows = Windows.over((10, 10), Occlusion(window_height=0.3, window_width=0.3, stride=0.7))
    image = np.random.default_rng(0).normal(size=(10, 10))
    cells = windows.cells
    sums = np.bincount(cells.ravel(), image.ravel())[:, np.newaxis]
    model = FakeMaskedModel(linear(sums), len(sums), Tick(total=1))
    (found,) = explain_occlusion(model, windows, [0], Tick(total=1))
    total, count = np.zeros((10, 10)), np.zeros((10, 10))
    for top in (0, 2, 4, 6, 7):
        for left in (0, 2, 4, 6, 7):
            area = np.s_[top : top + 3, left : left + 3]
            total[area] += image[area].sum()
            count[area] += 1
    assert found.coverage == 1
    assert found.map == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("shape", [(0.1, 0.1, 0.5), (0.3, 0.07, 1.0), (0.5, 0.5, 0.1)])
def test_occlusion_covers_every_point(shape: tuple[float, float, float]) -> None:
    height, width, stride = shape
    parameters = Occlusion(window_height=height, window_width=width, stride=stride)
    windows = Windows.over((47, 61), parameters)
    covered = np.zeros((47, 61), bool)
    for index in range(len(windows)):
        covered[windows.place(index)] = True
        hidden = windows[index : index + 1][0][windows.cells] == 0
        expected = np.zeros_like(covered)
        expected[windows.place(index)] = True
        assert np.array_equal(hidden, expected)
    assert covered.all()


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_equal_questions_give_equal_bytes(parameters: Parameters) -> None:
    function = with_interactions(2, 16)
    if isinstance(parameters, Occlusion):
        function = linear(weights(64))
    state = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]
    first, again = (explain(parameters, function, grid(4), seed=7)[0] for _ in range(2))
    assert first.map.tobytes() == again.map.tobytes()
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[index, union-attr]


@pytest.mark.parametrize("parameters", SAMPLING, ids=lambda parameters: parameters.name)
def test_a_target_does_not_depend_on_the_others(parameters: Parameters) -> None:
    function = with_interactions(2, 16)
    alone = explain(parameters, function, grid(4), targets=(1,))[0]
    among = explain(parameters, function, grid(4), targets=(0, 1))[1]
    assert alone.map.tobytes() == among.map.tobytes()


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_a_model_that_sees_nothing_gives_zero_everywhere(parameters: Parameters) -> None:
    (found,) = explain(parameters, lambda masks: np.full((len(masks), 1), 3.0), grid(4))
    assert not found.map.any()
    assert np.isfinite(found.map).all()


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_one_segment_has_it_all(parameters: Parameters) -> None:
    single = np.zeros((8, 8), np.uint16)
    function: Callable[[Floats], Floats] = lambda masks: 2 * masks.mean(axis=1, keepdims=True)  # noqa: E731
    (found,) = explain(parameters, function, single)
    assert np.isfinite(found.map).all()
    if parameters.name.endswith("shap"):
        assert found.map == pytest.approx(np.full((8, 8), 2.0))


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_what_is_there_when_the_time_is_up_is_a_truncated_map(parameters: Parameters) -> None:
    (found,) = explain(parameters, linear(weights(64)), grid(8), stop_after=30)
    assert found.truncated
    assert np.isfinite(found.map).all()
    assert found.map.any()


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_no_time_at_all_is_an_error(parameters: Parameters) -> None:
    with pytest.raises(DeadlineTooShort):
        explain(parameters, linear(weights(64)), grid(8), stop_after=0)


def test_truncated_kernel_shap_still_adds_up() -> None:
    (found,) = explain(KernelShap(samples=300), with_interactions(0, 16), grid(4), stop_after=100)
    assert found.additivity_gap == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("parameters", ALL, ids=lambda parameters: parameters.name)
def test_nobody_waits_so_it_stops(parameters: Parameters) -> None:
    tick = Tick(total=100)
    tick._stop.set()
    count = 64 if isinstance(parameters, Occlusion) else 16
    with pytest.raises(Cancelled):
        explain(parameters, linear(weights(count)), grid(4), tick=tick)


@pytest.mark.parametrize("parameters", [SAMPLING[0], SAMPLING[1]], ids=lambda p: p.name)
def test_a_method_that_samples_shows_usable_maps_before_its_end(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explain_service.tick.PARTIAL_EVERY_S", 0.0)
    assert PARTIAL_EVERY_S > 0
    seen: list[Attribution] = []
    tick = Tick(total=400, on_partial=lambda found: seen.append(found[0]))
    expected = weights(16)
    explain(parameters, linear(expected), grid(4), tick=tick)
    assert len(seen) > 10
    assert all(np.isfinite(found.map).all() for found in seen)
    assert np.corrcoef(seen[-1].map.ravel(), expected[:, 0][grid(4)].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("method", [Lime, KernelShap], ids=lambda method: method.__name__)
def test_intervals_hold_what_they_promise(method: type[Parameters]) -> None:
    """95 % of the intervals hold the value that many more samples give."""
    function, segments = with_interactions(8, 16), grid(4)
    extra = {"ridge": 0.0} if method is Lime else {}
    (truth,) = explain(method(samples=10_000, **extra), function, segments, seed=1_000)
    inside: list[NDArray[np.bool_]] = []
    for seed in range(30):
        (found,) = explain(method(samples=300, **extra), function, segments, seed=seed)
        assert found.segment_low is not None
        assert found.segment_high is not None
        assert truth.segment_values is not None
        inside.append(
            (found.segment_low <= truth.segment_values)
            & (truth.segment_values <= found.segment_high)
        )
    assert 0.88 <= np.mean(inside) <= 1.0
