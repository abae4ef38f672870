"""Grad-CAM (arXiv:1610.02391): which parts of a layer's activations raise the score."""

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution, ExplainInput
from explain_service.gradient.model import GradientModel, Head
from explain_service.methods.base import Workload
from explain_service.methods.gradient_method import GradientMethod
from explain_service.run_control import RunControl, out_of_time
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.errors import InvalidArgument, MethodUnavailable
from pellucid.tensors import FloatArray


class GradCam(GradientMethod[methods_pb2.GradCam]):
    """Gradient-weighted activations of one layer, upsampled to the input."""

    name = "grad_cam"
    title = "Grad-CAM"
    description = "Where the last features that the network uses are, weighted by their gradient."
    paper = "arXiv:1610.02391"
    message = methods_pb2.GradCam
    uses_baseline = False

    def missing(self, card: Card) -> str:
        """It needs a layer with rows and columns."""
        return "" if _layers(card) else "the model's card names no layer for Grad-CAM"

    def resolve(
        self, parameters: methods_pb2.GradCam, card: Card, field: str
    ) -> methods_pb2.GradCam:
        """The layer that is asked for, or the card's first."""
        layers = _layers(card)
        if not layers:
            raise MethodUnavailable(self.missing(card), remedy="choose another method")
        if not parameters.HasField("layer"):
            parameters.layer = layers[0]
        elif parameters.layer not in layers:
            raise InvalidArgument(
                f"Grad-CAM cannot use a layer {parameters.layer!r}",
                field=f"{field}.layer",
                remedy=f"choose one of: {', '.join(layers)}",
            )
        return parameters

    def choices(self, card: Card) -> dict[str, tuple[str, ...]]:
        """The layers of the card."""
        return {"layer": _layers(card)}

    def calls(self, parameters: methods_pb2.GradCam, workload: Workload) -> int:
        """One for each target."""
        return workload.targets

    def attribute(
        self,
        parameters: methods_pb2.GradCam,
        model: GradientModel,
        inputs: ExplainInput,
        control: RunControl,
    ) -> list[Attribution]:
        """Where the time is up, the last targets have no map."""
        control.progress.total = len(inputs.targets)
        found: list[Attribution] = []
        for label in inputs.targets:
            if control.too_late and not found:
                raise out_of_time()
            if control.too_late:
                break
            values = grad_cam(
                model,
                inputs.tensor,
                Head.of(inputs.model.card, label, probability=inputs.probability),
                layer=parameters.layer,
                positive_only=parameters.positive_only,
                size=inputs.plane,
            )
            control.advance(1)
            found.append(Attribution(map=values))
        return found


def _layers(card: Card) -> tuple[str, ...]:
    return card.architecture.grad_cam_layers if card.architecture else ()


def grad_cam(
    model: GradientModel,
    x: FloatArray,
    head: Head,
    *,
    layer: str,
    positive_only: bool,
    size: tuple[int, int],
) -> FloatArray:
    """Attribute a score to the places of one input.

    Args:
        model: the copy.
        x: of the model's input shape.
        head: of the score that is explained.
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
        small = model.layer_cam(x[np.newaxis], layer, head)
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
