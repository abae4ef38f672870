"""Calls to a Triton of the tests, in numpy."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from pellucid.contracts import Layout
from tests.support.known_models import Floats


def infer(url: str, model: str, **inputs: NDArray) -> Floats:
    """Logits of one call."""
    with InferenceServerClient(url) as client:
        answer = client.infer(model, [_tensor(name, array) for name, array in inputs.items()])
        return np.array(answer.as_numpy("logits"))


def masked_inputs(
    image: Floats, layout: Layout, *, masks: int, segments: int, seed: int
) -> tuple[Mapping[str, NDArray], Floats]:
    """Random inputs of a masked model for one image `(*shape)`, and the images they stand for."""
    rng = np.random.default_rng(seed)
    plane = image.shape[1:] if layout is Layout.CHW else image.shape[:2]
    cells = rng.integers(0, segments, plane).astype(np.uint16)
    rows = rng.integers(0, 2, (masks, segments)).astype(np.uint8)
    baseline = np.full((1, 1, 1, 1), 0.25, np.float32)
    keep = rows[:, cells].astype(bool)
    keep = keep[:, None] if layout is Layout.CHW else keep[..., None]
    expanded = np.where(keep, image[None], baseline).astype(np.float32)
    inputs = {"image": image[None], "baseline": baseline, "segments": cells, "masks": rows}
    return inputs, expanded


def _tensor(name: str, array: NDArray) -> InferInput:
    tensor = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor
