import numpy as np
import pytest

from pellucid.rendering.colours import AGAINST, FOR, Scale, bar, css_gradient, paint, scale_of


def grid(*values: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([values], np.float32)


def test_zero_is_transparent_and_signs_differ_in_colour() -> None:
    painted = paint(grid(-1, 0, 1), Scale(1, False))[0]
    assert painted[1, 3] == 0
    assert tuple(painted[0, :3]) == AGAINST
    assert tuple(painted[2, :3]) == FOR
    assert painted[0, 3] == painted[2, 3] > 200


def test_opacity_grows_with_magnitude_up_to_the_limit() -> None:
    alpha = paint(grid(0.1, 0.5, 1, 5), Scale(1, False))[0, :, 3].astype(int)
    assert alpha[0] < alpha[1] < alpha[2] == alpha[3]


def test_a_map_of_zeros_has_no_scale_and_is_transparent() -> None:
    zeros = np.zeros((4, 4), np.float32)
    scale = scale_of(zeros)
    assert scale == Scale(0, False)
    assert not paint(zeros, scale)[..., 3].any()


def test_the_limits_are_those_of_the_larger_sign() -> None:
    assert scale_of(grid(-3, 1)).limit == 3


def test_a_single_peak_does_not_bleach_the_rest() -> None:
    values = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    values[0, 0] = 1000
    scale = scale_of(values)
    assert scale.clipped
    assert scale.limit < 5


def test_one_lit_cell_among_zeros_is_seen() -> None:
    values = np.zeros((100, 100), np.float32)
    values[3, 3] = -2
    assert scale_of(values) == Scale(2, False)


@pytest.mark.parametrize("extreme", [1e-42, 3e38])
def test_extreme_values_are_drawn_without_overflow(extreme: float) -> None:
    values = grid(-extreme, extreme)
    assert paint(values, scale_of(values))[0, 1, 3] > 200


def test_the_bar_is_white_in_the_middle_and_the_gradient_is_css() -> None:
    assert bar(3)[1].tolist() == [1, 1, 1]
    assert css_gradient().startswith("linear-gradient(to right, rgb(")
