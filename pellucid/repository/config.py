"""`config.pbtxt`, written from a card: what Triton needs, and the card for everybody else."""

from collections.abc import Mapping
from typing import Any, Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from pellucid.cards import (
    CARD_PARAMETER,
    DIGEST_PARAMETER,
    MASKED_SUFFIX,
    MEMBER_SCORES,
    PRECISION_PARAMETER,
    ROLE_PARAMETER,
    Card,
)

MASKS_PARAMETER = "pellucid_masks"
"""Triton parameter of a masked model: the name of its classifier."""
FLOAT32 = "float32"
MAX_BATCH_SIZE = 16
MASKED_INSTANCES = 2
"""Two single-threaded calls in flight are faster than one that spreads over two cores."""

_HEADER = (
    "# Written from card.yaml by `python -m pellucid.repository build`; edit the card instead.\n"
)


def classifier_config(card: Card, weights_digest: str, outputs: Mapping[str, int]) -> str:
    """Text of the classifier's `config.pbtxt`.

    Args:
        card: the model's.
        weights_digest: of what it was built from.
        outputs: width of each output of its graph, `logits` among them.
    """
    config = _base(card, card.name, weights_digest, "classifier")
    config.max_batch_size = MAX_BATCH_SIZE
    config.dynamic_batching.SetInParent()
    config.instance_group.add(count=1)
    config.input.add(name="input", data_type=pb.TYPE_FP32, dims=card.preprocess.shape)
    for name, width in outputs.items():
        config.output.add(name=name, data_type=pb.TYPE_FP32, dims=[width])
    if card.members:
        dims = [len(card.members), card.logits]
        config.output.add(name=MEMBER_SCORES, data_type=pb.TYPE_FP32, dims=dims)
    return _text(config)


def masked_config(card: Card, weights_digest: str) -> str:
    """Text of the `config.pbtxt` of the graph that expands masks."""
    config = _base(card, card.name + MASKED_SUFFIX, weights_digest, "masked")
    config.max_batch_size = 0
    config.instance_group.add(count=MASKED_INSTANCES, kind=pb.ModelInstanceGroup.KIND_CPU)
    config.input.add(name="image", data_type=pb.TYPE_FP32, dims=[1, *card.preprocess.shape])
    config.input.add(name="baseline", data_type=pb.TYPE_FP32, dims=[-1, -1, -1, -1])
    config.input.add(name="segments", data_type=pb.TYPE_UINT16, dims=card.preprocess.plane)
    config.input.add(name="masks", data_type=pb.TYPE_UINT8, dims=[-1, -1])
    config.output.add(name="logits", data_type=pb.TYPE_FP32, dims=[-1, card.logits])
    _set(config, {MASKS_PARAMETER: card.name, "intra_op_thread_count": "1"})
    return _text(config)


def _base(card: Card, name: str, weights_digest: str, role: Literal["classifier", "masked"]) -> Any:
    config = pb.ModelConfig(name=name, backend="onnxruntime")
    # The card decides, whatever else lies beside it; both graphs of a model agree on it.
    config.version_policy.specific.versions.append(int(card.version))
    accelerators = config.optimization.execution_accelerators
    accelerators.cpu_execution_accelerator.add(name="openvino")
    _set(
        config,
        {
            CARD_PARAMETER: card.to_json(),
            DIGEST_PARAMETER: weights_digest,
            # What ONNX Runtime computes in, with which every Triton comes; whoever loads the model
            # into an engine that prefers something else sets what it is.
            PRECISION_PARAMETER: FLOAT32,
            ROLE_PARAMETER: role,
        },
    )
    return config


def _set(config: Any, parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        config.parameters[key].string_value = value


def _text(config: Any) -> str:
    return _HEADER + str(text_format.MessageToString(config, as_utf8=True))
