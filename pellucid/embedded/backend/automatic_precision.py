"""Prints what OpenVINO computes in on this CPU where it is free to choose: `float32`, `bfloat16`.

It runs in Triton's own environment and therefore imports nothing of Pellucid.
"""

import sys

import openvino as ov
from openvino import opset13 as ops

_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def main() -> None:
    """Compile the smallest of models and ask what it was compiled to."""
    value = ops.parameter([1, 1], ov.Type.f32)
    model = ov.Model([ops.relu(value)], [value])
    compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    name = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    sys.stdout.write(_NAMES.get(name, name))


if __name__ == "__main__":
    main()
