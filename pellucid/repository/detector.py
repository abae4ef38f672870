"""Distance of an input from the training data, computed in the classifier's own graph.

What is compared are the network's features together with the profiles of the input itself: mean and
standard deviation of each row and of each column. A network has learnt to overlook what does not
matter to its task, so its features alone are much the same for silence and for speech.

The distance is Mahalanobis' (arXiv:1807.03888) under the covariance of a probabilistic principal
component analysis (doi:10.1111/1467-9868.00196): the largest variances in the directions that the
training data vary most in, and one for all the rest. But the few directions count as much in all as
the many others: half of the mean of each. Under the root, it is about 1 for an input like the
training data.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pellucid.architectures.weights import write_arrays
from pellucid.cards import DISTANCE, FEATURES
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.folder import DETECTOR

Floats = NDArray[np.float32]

STATISTICS: Final = "statistics"
"""Output `(N, V)` of a graph that a detector is fitted with."""
_LEAST: Final = 1e-12
"""Added under a root: the variance of a constant row is rounded to a little less than 0."""


@dataclass(frozen=True, eq=False)
class MahalanobisDetector:
    """What was fitted to `V` statistics of the training data, in `R` directions."""

    mean: Floats
    """`(V,)`."""
    scale: Floats
    """`(V,)`: the reciprocal of each standard deviation."""
    directions: Floats
    """`(R, V)`, orthonormal, over centred and scaled statistics."""
    variances: Floats
    """`(R,)`, of the directions."""
    rest: Floats
    """`(1,)`: variance in every other direction."""

    def save(self, path: Path) -> None:
        """Write it; the directions, most of it, in float16."""
        kinds = {"directions": np.float16}
        arrays = {
            # What is no contiguous block would be written in another order.
            field.name: np.ascontiguousarray(
                getattr(self, field.name), kinds.get(field.name, np.float32)
            )
            for field in fields(self)
        }
        write_arrays(arrays, path)

    def distances(self, values: Floats) -> Floats:
        """Distances `(N,)` of statistics `(N, V)`, as the graph computes them.

        The root of the mean of two means: of the squares in the directions, and of those in all
        others, each over its variance. Both count the same: what lies far out in a few directions
        that vary much, as noise among speech does, would not be seen among a thousand others.
        """
        scaled = (values - self.mean) * self.scale
        squares = (scaled @ self.directions.T) ** 2
        inside = (squares / self.variances).mean(axis=1)
        others = self.directions.shape[1] - len(self.directions)
        outside = np.maximum((scaled**2).sum(axis=1) - squares.sum(axis=1), 0) / others
        return np.asarray(np.sqrt((inside + outside / self.rest) / 2), np.float32)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it.

        Raises:
            ModelNotBuilt: it cannot be read, or is not of this kind.
        """
        try:
            found = load_file(path)
            return cls(**{field.name: found[field.name].astype("f4") for field in fields(cls)})
        except (OSError, SafetensorError, KeyError) as error:
            raise ModelNotBuilt(f"{path.name} cannot be read: {error}") from error


def expose_statistics(model: onnx.ModelProto, channel_axis: int) -> None:
    """Have a graph with features give what detectors are fitted to as its output `statistics`."""
    _add_statistics(model.graph, channel_axis)
    output = helper.make_tensor_value_info(STATISTICS, TensorProto.FLOAT, ["batch", None])
    model.graph.output.append(output)


def add_distance(model: onnx.ModelProto, detector: MahalanobisDetector, channel_axis: int) -> None:
    """Give a graph with features the distance from the training data as an output.

    There is no matrix product in it: engines that compute in bfloat16 keep to float32 in what lies
    behind the last of the products that they are in a hurry with.

    Args:
        model: graph from `input` float32 `(N, *shape)` to `features` `(N, D)`.
        detector: fitted to its statistics.
        channel_axis: axis of the channels in `shape`, 0 or 2.

    Raises:
        ModelNotBuilt: the graph has no features, or other ones than the detector.
    """
    graph = model.graph
    width = _add_statistics(graph, channel_axis)
    if len(detector.mean) != width:
        raise ModelNotBuilt(
            f"{DETECTOR} is of {len(detector.mean)} statistics, the network has {width}: fit it "
            "again"
        )
    of = _Nodes(graph, "detector")
    centred = of("Sub", STATISTICS, of.constant(detector.mean))
    scaled = of("Mul", centred, of.constant(detector.scale))
    rows = of("Unsqueeze", scaled, of.integers(1))  # (N, 1, V), beside (R, V)
    along = of.sum(of("Mul", rows, of.constant(detector.directions)), 2)
    squares = of("Mul", along, along)
    # Half of each mean.
    count = len(detector.variances)
    weights = (0.5 / count / detector.variances).astype(np.float32)
    weight = (0.5 / (width - count) / detector.rest).astype(np.float32)
    inside = of.sum(of("Mul", squares, of.constant(weights)), 1, keep=True)
    whole = of.sum(of("Mul", scaled, scaled), 1, keep=True)
    outside = of("Relu", of("Sub", whole, of.sum(squares, 1, keep=True)))
    both = of("Add", inside, of("Mul", outside, of.constant(weight)))
    graph.node.add(op_type="Sqrt", input=[both], output=[DISTANCE])
    graph.output.append(helper.make_tensor_value_info(DISTANCE, TensorProto.FLOAT, ["batch", 1]))


def _add_statistics(graph: onnx.GraphProto, channel_axis: int) -> int:
    """Compute `statistics`, `(N, V)`; returns V."""
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    if FEATURES not in shapes:
        raise ModelNotBuilt(f"a detector needs `{FEATURES}`, which model.onnx has not")
    of = _Nodes(graph, "statistics")
    # In a batch, every axis is one further.
    channels = channel_axis + 1
    row, column = (axis for axis in (1, 2, 3) if axis != channels)
    squared = of("Mul", "input", "input")
    parts = [FEATURES]
    width = shapes[FEATURES][1]
    for kept, reduced in ((row, column), (column, row)):
        axes = sorted((channels, reduced))
        size = np.array([np.prod([shapes["input"][axis] for axis in axes])], np.float32)
        mean = of("Div", of.sum("input", *axes), of.constant(size))
        square = of("Div", of.sum(squared, *axes), of.constant(size))
        variance = of("Relu", of("Sub", square, of("Mul", mean, mean)))
        least = of.constant(np.array([_LEAST], np.float32))
        parts += [mean, of("Sqrt", of("Add", variance, least))]
        width += 2 * shapes["input"][kept]
    graph.node.add(op_type="Concat", input=parts, output=[STATISTICS]).attribute.append(
        helper.make_attribute("axis", 1)
    )
    return width


class _Nodes:
    """Appends nodes to a graph and names their outputs."""

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self._graph = graph
        self._prefix = prefix
        self._count = 0

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = self._name()
        self._graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def sum(self, value: str, *axes: int, keep: bool = False) -> str:
        """Sum over axes; named by an input, as operators from version 13 on have them."""
        return self("ReduceSum", value, self.integers(*axes), keepdims=int(keep))

    def constant(self, values: Floats) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def integers(self, *values: int) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}/{self._count}"
