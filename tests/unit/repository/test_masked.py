"""The graph that expands masks, in ONNX Runtime; through Triton it is tested in integration."""

import numpy as np
import onnx
import onnxruntime
import pytest

from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.masked import masked_graph
from tests.support.known_models import Floats, linear_graph

SHAPES = {0: (3, 8, 6), 2: (8, 6, 3)}
"""By the axis of the channels."""


def expand(
    channel_axis: int, image: Floats, baseline: Floats, masks: np.ndarray, segments: np.ndarray
):
    """What the graph stands for, in numpy."""
    keep = masks[:, segments].astype(bool)
    keep = np.expand_dims(keep, channel_axis + 1)
    return np.where(keep, image, baseline).astype(np.float32)


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["logits"], inputs)[0]


@pytest.mark.parametrize("channel_axis", SHAPES)
@pytest.mark.parametrize("baseline_is", ["a constant", "one value a channel", "an image"])
def test_masking_in_the_graph_equals_masking_outside(channel_axis: int, baseline_is: str) -> None:
    rng = np.random.default_rng(3)
    shape = SHAPES[channel_axis]
    classifier = linear_graph(rng.normal(size=(2, *shape)).astype(np.float32), np.ones(2, "f4"))
    channels = (1, 3, 1, 1) if channel_axis == 0 else (1, 1, 1, 3)
    sizes = {"a constant": (1,) * 4, "one value a channel": channels, "an image": (1, *shape)}
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    baseline = rng.normal(size=sizes[baseline_is]).astype(np.float32)
    segments = rng.integers(0, 5, (8, 6)).astype(np.uint16)
    masks = rng.integers(0, 2, (7, 5)).astype(np.uint8)

    served = run(
        masked_graph(classifier, channel_axis),
        image=image,
        baseline=baseline,
        segments=segments,
        masks=masks,
    )

    outside = run(classifier, input=expand(channel_axis, image, baseline, masks, segments))
    assert np.array_equal(served, outside)


def test_a_segment_number_above_255_finds_its_mask() -> None:
    classifier = linear_graph(np.ones((1, 1, 1, 301), np.float32), np.zeros(1, np.float32))
    masks = np.zeros((1, 301), np.uint8)
    masks[0, 300] = 1

    logits = run(
        masked_graph(classifier, 0),
        image=np.ones((1, 1, 1, 301), np.float32),
        baseline=np.zeros((1, 1, 1, 1), np.float32),
        segments=np.arange(301, dtype=np.uint16)[None],
        masks=masks,
    )

    assert logits.item() == 1


def test_a_classifier_without_the_agreed_input_is_refused() -> None:
    classifier = linear_graph(np.ones((1, 1, 2, 2), np.float32), np.zeros(1, np.float32))
    classifier.graph.input[0].name = "x"
    with pytest.raises(ModelNotBuilt, match="`input`"):
        masked_graph(classifier, 0)


def test_a_graph_that_is_not_valid_is_refused() -> None:
    classifier = linear_graph(np.ones((1, 1, 2, 2), np.float32), np.zeros(1, np.float32))
    classifier.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelNotBuilt, match="NoSuchOperator"):
        masked_graph(classifier, 0)
