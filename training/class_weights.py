"""How much an example counts in the loss, by its labels."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.cards import Activation, Card
from training.recipe import Recipe

Floats: TypeAlias = NDArray[np.float32]


def class_weights(
    card: Card, wanted: dict[str, float] | str, targets: NDArray[np.float32]
) -> Floats:
    """Weights of each column of the targets: where a label is absent, and where it is present.

    Args:
        card: whose labels these are.
        wanted: weights by label; or `balanced`: of labels that exclude each other, each has the
            same sum; of others, those where a label is present have that of those where it is not.
        targets: of the training set, `(N, K')`; NaN where nothing is known. One column of two
            labels is the second's.

    Returns:
        `(2, K')`.
    """
    weights = np.ones((2, targets.shape[1]), np.float32)
    exclusive = card.output.activation is not Activation.SIGMOID
    if wanted == "balanced":
        present = np.nansum(targets, axis=0)
        absent = np.nansum(1 - targets, axis=0)
        known = present + absent
        if not exclusive:
            weights[1] = absent / np.maximum(present, 1)
        elif targets.shape[1] == 1:
            weights[:, 0] = known / 2 / np.maximum([absent[0], present[0]], 1)
        else:
            weights[1] = known / len(present) / np.maximum(present, 1)
        return weights
    assert isinstance(wanted, dict)  # the recipe has checked it
    given = [wanted.get(label, 1.0) for label in card.labels]
    if exclusive and targets.shape[1] == 1:
        weights[:, 0] = given
    else:
        weights[1] = given
    return weights


def weights_of(recipe: Recipe, targets: Floats) -> Floats | None:
    """The weights that a recipe wants, as above; None where it wants none."""
    if not recipe.class_weights:
        return None
    return class_weights(recipe.card, recipe.class_weights, targets)


def example_weights(weights: Floats, targets: Floats) -> Floats:
    """Weight of each example of labels that exclude each other, `(N,)`.

    Args:
        weights: `(2, K')`.
        targets: shares of the labels, `(N, K')`.
    """
    if targets.shape[1] == 1:
        return np.asarray((targets * weights[1] + (1 - targets) * weights[0])[:, 0], np.float32)
    return np.asarray(targets @ weights[1], np.float32)
