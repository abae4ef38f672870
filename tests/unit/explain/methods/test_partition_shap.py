import numpy as np
import pytest

from explain_service.methods.partition_shap import PartitionShap, balanced_tree
from pellucid.api.explain.v1 import methods_pb2 as pb
from tests.support.masked_models import (
    explain,
    grid,
    linear,
    measure_of,
    random_weights,
    values_of,
    with_interactions,
)


def test_of_a_linear_model_it_is_the_weights() -> None:
    expected = random_weights(16)
    parameters = pb.PartitionShap(evaluations=1000)
    (found,) = explain(PartitionShap(), parameters, linear(expected), grid(4))
    assert values_of(found) == pytest.approx(expected[:, 0], abs=1e-5)


@pytest.mark.parametrize("evaluations", [10, 50, 2000])
def test_it_adds_up_also_where_segments_depend_on_each_other(evaluations: int) -> None:
    parameters = pb.PartitionShap(evaluations=evaluations)
    (found,) = explain(PartitionShap(), parameters, with_interactions(1, 16), grid(4))
    assert measure_of(found, "additivity_gap") == pytest.approx(0, abs=1e-5)


def test_groups_that_share_their_credit_evenly_are_warned_of() -> None:
    few, enough = (
        explain(
            PartitionShap(),
            pb.PartitionShap(evaluations=evaluations),
            with_interactions(1, 16),
            grid(4),
        )[0]
        for evaluations in (50, 2000)
    )
    assert "groups of segments" in few.warnings[0]
    assert not enough.warnings


def test_the_tree_of_segments_is_balanced() -> None:
    segments = np.arange(50, dtype=np.uint16).reshape(5, 10)
    tree = balanced_tree(segments)
    assert tree.shape == (49, 4)
    assert tree[-1, 2:].tolist() == [6, 50]
    children = tree[:, :2].ravel()
    assert sorted(children.tolist()) == list(range(98))
    assert all(tree[row, :2].max() < 50 + row for row in range(49))
