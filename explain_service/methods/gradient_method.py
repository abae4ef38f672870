"""Gradient methods: what they share, whatever they differentiate."""

from abc import abstractmethod
from typing import Final, TypeVar

from google.protobuf.message import Message

from explain_service.attribution import Attribution, ExplainInput
from explain_service.gradient.loading import NoCopy
from explain_service.gradient.model import GradientModel
from explain_service.methods.base import Backends, Method, refused
from explain_service.run_control import RunControl, out_of_time
from pellucid.api.explain.v1 import explain_pb2
from pellucid.cards import Card
from pellucid.serving.served_model import ServedModel

P = TypeVar("P", bound=Message)

GRADIENT_COST: Final = 10.0
"""How much longer a gradient takes than a score, as long as neither was measured."""


class GradientMethod(Method[P]):
    """A method that differentiates the gradient copy of a model."""

    runtime = explain_pb2.RUNTIME_LOCAL_COPY
    relative_cost = GRADIENT_COST

    @abstractmethod
    def attribute(
        self, parameters: P, model: GradientModel, inputs: ExplainInput, control: RunControl
    ) -> list[Attribution]:
        """One attribution for each target; raises as `explain` does."""

    def missing(self, card: Card) -> str:
        """What the method needs of a card and this one lacks, in words; empty where it fits."""
        return ""

    def unavailable(self, model: ServedModel, backends: Backends) -> str:
        """It needs a copy that answers as the served model does."""
        return backends.copies.unavailable(model) or self.missing(model.card)

    def explain(
        self, parameters: P, inputs: ExplainInput, backends: Backends, control: RunControl
    ) -> list[Attribution]:
        """Wait for the checked copy, then differentiate it."""
        control.check()
        if control.too_late:
            raise out_of_time()
        try:
            model = backends.copies.checked(inputs.model, control)
        except NoCopy as error:
            raise refused(inputs.model, self.name, str(error)) from error
        control.check()
        return self.attribute(parameters, model, inputs, control)

    def precision(self, inputs: ExplainInput) -> str:
        """Of the copies."""
        return "float32"

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """The framework of the copy; gradients in torch are captum's."""
        architecture = inputs.model.card.architecture
        assert architecture is not None
        if architecture.framework == "keras":
            return ("tensorflow", "keras")
        remade = ("onnx2torch",) if architecture.framework == "onnx" else ()
        return ("torch", "captum", *remade)
