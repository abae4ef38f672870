"""A copy in torch; captum attributes to its inputs and layers.

Importing this module imports torch.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from captum._utils.gradient import compute_layer_gradients_and_eval
from captum.attr import LayerGradCam, Saliency
from torch import Tensor, nn
from torch.export.unflatten import UnflattenedModule

from explain_service.gradient.model import Head
from explain_service.gradient.tokens import token_grid
from pellucid.architectures.networks import load_network
from pellucid.cards import Activation, Architecture
from pellucid.tensors import FloatArray


class TorchCopy:
    """See `GradientModel`; arithmetic is float32."""

    def __init__(self, architecture: Architecture, module: nn.Module, chunk: int) -> None:
        """Take over a module that has its weights.

        Raises:
            ValueError: the network lacks one of the architecture's layers.
        """
        modules = dict(module.named_modules())
        if missing := [name for name in architecture.grad_cam_layers if name not in modules]:
            raise ValueError(f"{architecture.builder or 'the network'} has no layer {missing[0]!r}")
        # An exported program is of evaluation already, and refuses to be told.
        if not isinstance(module, UnflattenedModule):
            module.eval()
        self._module = module.requires_grad_(False)
        self._modules = modules
        self._chunk = chunk
        self._lock = Lock()

    @classmethod
    def load(cls, architecture: Architecture, weights: Path, chunk: int) -> "TorchCopy":
        """Load a network; see `load_network`.

        Raises:
            ValueError: the architecture cannot be built, or lacks one of its layers.
            WeightsMismatch: the weights do not fit it.
            UnsafeFile: the file of the network may not be loaded, or cannot be.
        """
        return cls(architecture, load_network(architecture, weights), chunk)

    @property
    def chunk(self) -> int:
        """See `GradientModel`."""
        return self._chunk

    def logits(self, inputs: FloatArray) -> FloatArray:
        """See `GradientModel`."""
        starts = range(0, len(inputs), self._chunk)
        with self._lock, torch.inference_mode():
            parts = [self._module(_tensor(inputs[at : at + self._chunk])) for at in starts]
            return _array(torch.cat(parts))

    def gradients(self, inputs: FloatArray, heads: Sequence[Head]) -> FloatArray:
        """See `GradientModel`; these are captum's `Saliency`, signed."""
        with self._lock, torch.enable_grad():
            tensor = _tensor(inputs).requires_grad_()
            methods = [Saliency(self._forward(head)) for head in heads]
            return np.stack([_array(each.attribute(tensor, abs=False)) for each in methods])

    def layer_cam(self, inputs: FloatArray, layer: str, head: Head) -> FloatArray:
        """See `GradientModel`; this is captum's `LayerGradCam`, and the same over tokens."""
        with self._lock, torch.enable_grad():
            # The weights ask for no gradients, so the input has to.
            tensor = _tensor(inputs).requires_grad_()
            module, forward = self._modules[layer], self._forward(head)
            cam = LayerGradCam(forward, module).attribute(tensor, relu_attributions=False)
            if cam.ndim == 3:
                return _array(_token_cam(forward, module, tensor))
        if cam.ndim != 4:
            raise ValueError(f"the output of layer {layer!r} has no rows and columns")
        return _array(cam[0, 0])

    def _forward(self, head: Head) -> Callable[[Tensor], Tensor]:
        """From inputs `(N, *shape)` to one score of each, `(N,)`, as captum wants it."""
        return lambda tensor: _apply(head, self._module(tensor))


def _token_cam(forward: Callable[[Tensor], Tensor], module: nn.Module, tensor: Tensor) -> Tensor:
    """Grad-CAM over tokens `(1, T, D)`, whose channels are the last axis; `(rows, columns)`."""
    (gradients,), (activations,) = compute_layer_gradients_and_eval(forward, module, tensor)
    # Channel by channel, over the tokens of patches only.
    rows, columns = token_grid(activations.shape[1], (tensor.shape[2], tensor.shape[3]))
    patches = slice(activations.shape[1] - rows * columns, None)
    weights = gradients[:, patches].mean(dim=1, keepdim=True)
    cam: Tensor = (weights * activations[:, patches]).sum(dim=2)
    return cam[0].reshape(rows, columns)


def _apply(head: Head, logits: Tensor) -> Tensor:
    if head.activation is Activation.SOFTMAX:
        return torch.softmax(logits, dim=1)[:, head.column]
    logit = head.sign * logits[:, head.column]
    return logit if head.activation is None else torch.sigmoid(logit)


def _tensor(array: FloatArray) -> Tensor:
    # A copy: what came in may be read-only, and torch would write through.
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().numpy()
    return np.ascontiguousarray(array)


def prepare(threads: int) -> None:
    """Fix the number of threads: sums of another number differ in the last bits."""
    torch.set_num_threads(threads)
