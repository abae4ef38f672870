import numpy as np
import pytest

from explain_service.comparison import compare


def test_equal_maps_agree_and_opposite_maps_do_not() -> None:
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    same, opposite, third = compare("a", [("x", values), ("y", values), ("z", -values)])
    assert (same.rank_correlation, same.top_overlap) == (pytest.approx(1), 1)
    assert (opposite.rank_correlation, opposite.top_overlap) == (pytest.approx(-1), 0)
    assert third.method_b == "z"


def test_a_constant_map_has_no_ranks() -> None:
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    (pair,) = compare("a", [("x", values), ("y", np.zeros_like(values))])
    assert pair.rank_correlation is None
    assert pair.top_overlap is None


def test_the_top_of_a_sparse_map_is_what_it_found_and_not_the_whole_plane() -> None:
    here, there, both = (np.zeros((32, 32), np.float32) for _ in range(3))
    here[:4, :4] = there[20:24, 20:24] = 1
    both[:4, :4] = both[20:24, 20:24] = 1
    apart, half, _ = compare("a", [("x", here), ("y", there), ("z", both)])
    assert apart.top_overlap == 0
    assert half.top_overlap == pytest.approx(0.5)
