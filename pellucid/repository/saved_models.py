"""SavedModels, turned into ONNX where their graph has nothing but arithmetic.

A SavedModel is a program: it may read and write files as it is loaded. So its graph is read as data
first, and one with an operator that is neither arithmetic nor the keeping of weights is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pellucid.architectures.errors import UnsafeFile
from pellucid.repository.errors import ModelNotBuilt

_OPSET: Final = 17
_KEEPING: Final = frozenset(
    [
        "AssignVariableOp",
        "Const",
        "Identity",
        "IdentityN",
        "MergeV2Checkpoints",
        "NoOp",
        "Pack",
        "PartitionedCall",
        "Placeholder",
        "ReadVariableOp",
        "RestoreV2",
        "SaveV2",
        "Select",
        "ShardedFilename",
        "StatefulPartitionedCall",
        "StaticRegexFullMatch",
        "StringJoin",
        "VarHandleOp",
        "VarIsInitializedOp",
        "AddV2",
        "DisableCopyOnRead",
    ]
)
"""Operators that hold, save and restore weights."""


def to_onnx(folder: Path, target: Path) -> None:
    """Convert the default signature of a SavedModel.

    Args:
        folder: with `saved_model.pb`.
        target: file to write.

    Raises:
        UnsafeFile: it is damaged, or has operators that do more than arithmetic.
        ModelNotBuilt: it has no default signature.
    """
    import tensorflow as tf
    import tf2onnx

    _check(folder)
    try:
        loaded = tf.saved_model.load(str(folder))  # keeps the variables alive
        signature = loaded.signatures.get("serving_default")
        if signature is None:
            raise ModelNotBuilt(f"{folder.name} has no signature `serving_default`")
        inputs = signature.structured_input_signature[1]
        tf2onnx.convert.from_function(
            # A loaded signature is no `tf.function`, which the converter traces.
            tf.function(lambda *values: signature(**dict(zip(inputs, values, strict=True)))),
            input_signature=list(inputs.values()),
            opset=_OPSET,
            output_path=str(target),
        )
    except ModelNotBuilt:
        raise
    except Exception as error:
        # Of an operator without a counterpart; tensorflow raises whatever it likes.
        raise UnsafeFile(f"{folder.name} cannot be converted to ONNX: {error}") from error


def _check(folder: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2
    from tf2onnx.handler import tf_op

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise UnsafeFile(f"{folder.name} is no SavedModel: {error}") from error
    _check_objects(folder, model)
    arithmetic = {
        name for domains in tf_op.get_opsets().values() for opset in domains for name in opset
    }
    if foreign := sorted(set(_operators(model)) - arithmetic - _KEEPING):
        raise UnsafeFile(
            f"{folder.name} has operators that do more than arithmetic: {', '.join(foreign[:5])}"
        )


def _check_objects(folder: Path, model: Any) -> None:
    """Refuse what tensorflow runs as it loads: TensorFlow 1's start, resources, own savers."""
    graphs = model.meta_graphs
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        raise UnsafeFile(
            f"{folder.name} is of TensorFlow 1, which runs operators as it loads: export it with "
            "`model.export` of Keras 3"
        )
    for one in graphs[0].object_graph_def.nodes:
        if one.HasField("resource") or one.saveable_objects or one.registered_saver:
            raise UnsafeFile(
                f"{folder.name} holds tables or objects that run operators as they are loaded: "
                "export a model of plain layers"
            )


def _operators(model: Any) -> Iterator[str]:
    for graph in (part.graph_def for part in model.meta_graphs):
        yield from (node.op for node in graph.node)
        for function in graph.library.function:
            yield from (node.op for node in function.node_def)
