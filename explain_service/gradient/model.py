"""What the gradient methods need of a model, whatever framework it was made with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pellucid.cards import Activation, Card
from pellucid.tensors import FloatArray


@dataclass(frozen=True)
class Head:
    """How the score that is explained comes out of the logits of the network.

    It is `activation(sign * logits[:, column])`.
    """

    column: int
    sign: float
    activation: Activation | None
    """None leaves the logit as it is."""

    @classmethod
    def of(cls, card: Card, label: int, *, probability: bool) -> "Head":
        """The head of one label; `pellucid.scores` does the same in numpy.

        Args:
            card: the model's.
            label: its place in the card, from 0.
            probability: after the activation, from 0 to 1; else the logit.
        """
        activation = card.output.activation if probability else None
        if card.output.activation is not Activation.BINARY_SIGMOID:
            return cls(label, 1.0, activation)
        positive = card.labels[label] == card.output.positive_label
        return cls(0, 1.0 if positive else -1.0, activation)


class GradientModel(Protocol):
    """A copy of a model that can be differentiated.

    Safe to share between threads: one call runs at a time, and none leaves anything behind, neither
    hooks nor gradients. Equal arguments give equal bytes.
    """

    @property
    def chunk(self) -> int:
        """Inputs that are differentiated at once; it bounds the memory."""
        ...

    def logits(self, inputs: FloatArray) -> FloatArray:
        """Logits `(N, K')` of inputs `(N, *shape)`; any N, evaluated in chunks."""
        ...

    def gradients(self, inputs: FloatArray, heads: Sequence[Head]) -> FloatArray:
        """Gradients `(T, N, *shape)` of T scores at inputs `(N, *shape)`; N is at most `chunk`."""
        ...

    def layer_cam(self, inputs: FloatArray, layer: str, head: Head) -> FloatArray:
        """Activations of a layer, weighted by the mean gradients of their channels, and summed.

        Args:
            inputs: `(1, *shape)`.
            layer: one of the card's.
            head: of the score that is differentiated.

        Returns:
            Signed, `(h, w)`: the layer's own size.

        Raises:
            ValueError: the layer's output has no rows and columns.
        """
        ...
