"""Grad-CAM (arXiv:1610.02391): which parts of a layer's activations raise the score."""

from typing import Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution, Question
from explain_service.gradient.model import GradientModel, Score
from explain_service.methods import GradCam
from explain_service.tick import Tick, out_of_time
from pellucid.errors import InvalidArgument, MethodUnavailable
from pellucid.tensors import FloatArray

NO_LAYERS: Final = "the model's card names no layer for Grad-CAM"


def choose_layer(layers: tuple[str, ...], wanted: str | None, field: str) -> str:
    """The layer that is asked for, or the card's first.

    Args:
        layers: those of the card.
        wanted: as it was asked for; None takes the default.
        field: path of the parameter in the request, for the error.

    Raises:
        MethodUnavailable: the card names no layer.
        InvalidArgument: the card does not name this one.
    """
    if not layers:
        raise MethodUnavailable(NO_LAYERS, remedy="choose another method")
    if wanted is None:
        return layers[0]
    if wanted not in layers:
        raise InvalidArgument(
            f"Grad-CAM cannot use a layer {wanted!r}",
            field=field,
            remedy=f"choose one of: {', '.join(layers)}",
        )
    return wanted


def explain(
    parameters: GradCam, question: Question, model: GradientModel, tick: Tick
) -> list[Attribution]:
    """One map for each target; `parameters` are resolved.

    Where the time is up, the last targets have none.

    Raises:
        Cancelled: nobody waits any more.
        DeadlineTooShort: the time was up before the first target.
    """
    assert parameters.layer is not None
    tick.total = len(question.targets)
    found: list[Attribution] = []
    for label in question.targets:
        if tick.too_late and not found:
            raise out_of_time()
        if tick.too_late:
            break
        values = grad_cam(
            model,
            question.input,
            Score(label, question.probability),
            layer=parameters.layer,
            positive_only=parameters.positive_only,
            size=question.plane,
        )
        tick.step(1)
        found.append(Attribution(map=values))
    return found


def grad_cam(
    model: GradientModel,
    x: FloatArray,
    score: Score,
    *,
    layer: str,
    positive_only: bool,
    size: tuple[int, int],
) -> FloatArray:
    """Attribute a score to the places of one input.

    Args:
        model: the copy.
        x: of the model's input shape.
        score: what is explained.
        layer: one of the model's.
        positive_only: keep only what raises the score, as the paper does; else the map is signed.
        size: rows and columns of the input.

    Returns:
        The layer's map, enlarged bilinearly to `size`; in units of activation times gradient. It
        may be zero everywhere.

    Raises:
        MethodUnavailable: the layer has no rows and columns.
    """
    try:
        small = model.layer_cam(x[np.newaxis], layer, score)
    except ValueError as error:
        raise MethodUnavailable(str(error), remedy="choose another layer") from error
    if positive_only:
        small = np.maximum(small, 0)
    return enlarge(small, size)


def enlarge(small: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Enlarge `(h, w)` to `size` bilinearly, by pixel centres, as torch and tensorflow do."""
    rows, columns = (_interpolation(*axis) for axis in zip(small.shape, size, strict=True))
    return (rows @ small.astype(np.float64) @ columns.T).astype(np.float32)


def _interpolation(length: int, enlarged: int) -> npt.NDArray[np.float64]:
    centres = np.clip((np.arange(enlarged) + 0.5) * length / enlarged - 0.5, 0, length - 1)
    below = np.floor(centres).astype(int)
    above = np.minimum(below + 1, length - 1)
    matrix = np.zeros((enlarged, length))
    np.add.at(matrix, (np.arange(enlarged), below), 1 - (centres - below))
    np.add.at(matrix, (np.arange(enlarged), above), centres - below)
    return matrix
