import numpy as np
import pytest
from lime.lime_image import LimeImageExplainer

from explain_service.measures import Grade
from explain_service.methods.lime import Lime, draw_masks
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument
from tests.support.masked_models import (
    Floats,
    explain,
    grid,
    linear,
    measure_of,
    random_weights,
    values_of,
    with_interactions,
)


def test_of_a_linear_model_it_is_nearly_the_weights() -> None:
    expected = random_weights(16)
    (found,) = explain(Lime(), pb.Lime(samples=2000, ridge=0.0), linear(expected), grid(4))
    assert values_of(found) == pytest.approx(expected[:, 0], abs=1e-5)
    assert measure_of(found, "r_squared") == pytest.approx(1, abs=1e-9)
    assert found.measures[0].grade is Grade.GOOD
    assert not found.warnings


def test_it_equals_the_lime_library_on_the_same_masks() -> None:
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
    parameters = pb.Lime(samples=200, kernel_width=0.4)
    (found,) = explain(Lime(), parameters, function, segments, targets=(1,), seed=4)
    expected = [value for _, value in sorted(library.local_exp[1])]
    assert values_of(found) == pytest.approx(expected, abs=1e-6)
    assert measure_of(found, "r_squared") == pytest.approx(library.score, abs=1e-6)


def test_a_model_that_no_line_follows_is_warned_of_and_graded_poor() -> None:
    def parity(masks: Floats) -> Floats:
        return (masks.sum(axis=1, keepdims=True) % 2).astype(float)

    (found,) = explain(Lime(), pb.Lime(samples=500), parity, grid(4))
    assert found.measures[0].grade is Grade.POOR
    assert "do not rely on it" in found.measures[0].words
    assert "of the score's variance only" in found.warnings[0]


def test_the_first_mask_keeps_all_and_the_others_are_of_a_fair_coin() -> None:
    masks = draw_masks(2_000, 20, seed=1)
    assert masks[0].all()
    assert masks[1:].mean() == pytest.approx(0.5, abs=0.02)


def test_a_regression_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Lime().check_segments(pb.Lime(samples=10_000), 4_096, "methods[1].lime")
    assert caught.value.field == "methods[1].lime.samples"
    assert caught.value.metadata["segments"] == "4096"
