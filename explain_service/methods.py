"""The methods, with their parameters: the table that everything else reads."""

from collections.abc import Sequence
from typing import Final

from explain_service.parameters import Parameters, parameter
from pellucid.api.explain.v1 import explain_pb2, methods_pb2
from pellucid.errors import InvalidArgument

MAX_METHODS: Final = 16
"""In one request."""


class Lime(Parameters):
    """Locally weighted linear regression on segments kept or hidden at random."""

    name = "lime"
    samples: int = parameter(500, "Perturbed inputs.", ge=10, le=10_000, unit="samples")
    kernel_width: float = parameter(
        0.25, "Width of the exponential kernel over the cosine distance.", ge=0.01, le=10.0
    )
    ridge: float = parameter(1.0, "Strength of the ridge regression.", ge=0.0, le=1_000.0)


class KernelShap(Parameters):
    """Shapley values by weighted regression over coalitions of segments."""

    name = "kernel_shap"
    samples: int = parameter(
        500,
        "Coalitions evaluated; all of them where 2^segments is smaller.",
        ge=10,
        le=20_000,
        unit="samples",
    )


class PartitionShap(Parameters):
    """Owen values over a hierarchy of segments: halves, quarters, and so on."""

    name = "partition_shap"
    evaluations: int = parameter(300, "Model evaluations.", ge=10, le=20_000, unit="evaluations")


class Occlusion(Parameters):
    """Drop of the score while a window hides part of the input."""

    name = "occlusion"
    window_height: float = parameter(
        0.125, "Height of the window.", ge=0.02, le=0.5, unit="of the input's height"
    )
    window_width: float = parameter(
        0.125, "Width of the window.", ge=0.02, le=0.5, unit="of the input's width"
    )
    stride: float = parameter(0.5, "Step between windows.", ge=0.1, le=1.0, unit="of the window")


class GradCam(Parameters):
    """Gradient-weighted activations of one layer, upsampled to the input."""

    name = "grad_cam"
    layer: str | None = parameter(None, "A layer of the model's card; by default its first.")
    positive_only: bool = parameter(True, "Keep only what speaks for the target.")


class IntegratedGradients(Parameters):
    """Gradients averaged on the straight path from the baseline to the input."""

    name = "integrated_gradients"
    steps: int = parameter(
        50, "Points of the Gauss-Legendre quadrature.", ge=2, le=1_000, unit="steps"
    )


METHODS: Final[dict[str, type[Parameters]]] = {
    kind.name: kind
    for kind in (Lime, KernelShap, PartitionShap, Occlusion, GradCam, IntegratedGradients)
}
"""Every method, by the name of its field in `Method`."""

GRADIENT_METHODS: Final = (GradCam.name, IntegratedGradients.name)
"""Those that run on the local copy; all others ask Triton."""


def runtime_of(method: str) -> "explain_pb2.Runtime.ValueType":
    """Where a method runs."""
    if method in GRADIENT_METHODS:
        return explain_pb2.RUNTIME_LOCAL_COPY
    return explain_pb2.RUNTIME_TRITON


def decode_methods(messages: Sequence[methods_pb2.Method], field: str) -> list[Parameters]:
    """Read the methods of a request.

    Raises:
        InvalidArgument: there are none or too many, one is empty, or a value is out of range.
    """
    if not 1 <= len(messages) <= MAX_METHODS:
        raise InvalidArgument(
            f"{len(messages)} methods were asked for",
            field=field,
            remedy=f"ask for 1 to {MAX_METHODS}",
        )
    return [_decode(message, f"{field}[{place}]") for place, message in enumerate(messages)]


def _decode(message: methods_pb2.Method, field: str) -> Parameters:
    name = message.WhichOneof("method")
    if name is None:
        raise InvalidArgument(
            "the method is empty", field=field, remedy=f"set one of: {', '.join(METHODS)}"
        )
    return METHODS[name].decode(getattr(message, name), f"{field}.{name}")


def encode_method(parameters: Parameters) -> methods_pb2.Method:
    """A method with every parameter that is known, for the receipt."""
    message = methods_pb2.Method()
    parameters.encode(getattr(message, parameters.name))
    return message
