"""Drop-in for Triton's `onnxruntime` backend, as a Python-based backend of the same name.

It runs `model.onnx` of any model whose configuration says `backend: "onnxruntime"`: with OpenVINO
where the configuration's CPU accelerator is `openvino`, with ONNX Runtime otherwise. It runs in
Triton's own environment and therefore imports nothing of Pellucid.

The parameter `pellucid_precision` of a model's configuration is an order: the engine computes in
that precision, or the model does not load. So a configuration is true; Python-based backends of
this Triton cannot put parameters into a response. Engine and precision of every instance also stand
in Triton's log and metrics, as the labels of `pellucid_engine_info`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Arrays = Mapping[str, np.ndarray]

ROWS_PER_INFERENCE = 8
"""Masks that are expanded and inferred at once, however many a call brings: what lies between the
layers of a large network then stays in a core's cache. On DenseNet-121 it is a sixth faster than 24
at once; 4 to 12 are within 3 % of it."""
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""OpenVINO's names of precisions."""


class OpenVinoEngine:
    """`model.onnx` compiled by OpenVINO for the CPU."""

    def __init__(self, model: Path, threads: int, precision: str) -> None:
        """Compile the model.

        Args:
            model: the ONNX file.
            threads: threads of one inference; 0 leaves it to the engine.
            precision: `float32`, `bfloat16` or `float16`.
        """
        import openvino as ov

        # Instances are processes that know nothing of each other: pinned threads would share a
        # core.
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        options["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
        compiled = ov.Core().compile_model(str(model), "CPU", options)
        self.name = f"openvino {ov.__version__.split('-')[0]}"
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = precision
        if hint != _HINTS[precision]:
            raise pb_utils.TritonModelException(f"OpenVINO computes in {hint}, not in {precision}")
        self._request = compiled.create_infer_request()
        self._ports = {output.any_name: output for output in compiled.outputs}
        self.outputs = tuple(self._ports)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Infer once; the outputs are copies, by name."""
        self._request.infer(dict(inputs), share_inputs=True)
        return {
            name: np.array(self._request.get_tensor(output).data)
            for name, output in self._ports.items()
        }


class OnnxRuntimeEngine:
    """`model.onnx` in ONNX Runtime's CPU provider, which computes in the graph's own types."""

    precision = "float32"

    def __init__(self, model: Path, threads: int) -> None:
        """Load the model; `threads` as in `OpenVinoEngine`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Infer once; the outputs by name."""
        return dict(zip(self.outputs, self._session.run(None, dict(inputs)), strict=True))


class Settings:
    """What this backend reads of a model's configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Read the configuration that Triton hands over as JSON."""
        parameters = {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        }
        accelerators = config.get("optimization", {}).get("execution_accelerators", {})
        names = {a["name"] for a in accelerators.get("cpu_execution_accelerator", [])}
        self.openvino = "openvino" in names
        self.threads = int(parameters.get("intra_op_thread_count", "0"))
        self.failure = parameters.get("pellucid_failure")
        self.precision = parameters.get("pellucid_precision", "float32")
        self.masked = parameters.get("pellucid_role") == "masked"
        self.batched = config.get("max_batch_size", 0) > 0
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.filename = config.get("default_model_filename") or "model.onnx"


class TritonPythonModel:
    """One instance of one model; Triton gives each its own process."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; an exception here is Triton's reason why it is not ready."""
        self._settings = settings = Settings(json.loads(args["model_config"]))
        if settings.failure:
            raise pb_utils.TritonModelException(settings.failure)
        model = Path(args["model_repository"], args["model_version"], settings.filename)
        if not model.is_file():
            raise pb_utils.TritonModelException(f"{settings.filename} has not been built")
        self._engine = _engine(model, settings)
        self._publish(args["model_name"])
        if missing := set(settings.outputs) - set(self._engine.outputs):
            raise pb_utils.TritonModelException(f"model.onnx has no output {sorted(missing)}")

    def _publish(self, model: str) -> None:
        facts = {"model": model, "engine": self._engine.name, "precision": self._engine.precision}
        # Triton drops a metric together with the object that stands for its family.
        self._family = pb_utils.MetricFamily(
            name="pellucid_engine_info",
            description="Engine and precision that a model runs in; always 1",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._info = self._family.Metric(labels=facts)
        self._info.set(1)
        pb_utils.Logger.log_info("{model}: {engine}, {precision}".format(**facts))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, those of one dynamic batch by a single inference."""
        inputs = [self._inputs_of(request) for request in requests]
        if self._settings.batched and len(requests) > 1:
            try:
                return self._together(inputs)
            except Exception as error:
                # One request must not fail its neighbours: each is tried by itself.
                pb_utils.Logger.log_warn(f"a batch of {len(requests)} failed, split: {error}")
        return [self._alone(own) for own in inputs]

    def _together(self, inputs: Sequence[Arrays]) -> list[Any]:
        joined = {
            name: np.concatenate([own[name] for own in inputs]) for name in self._settings.inputs
        }
        outputs = self._engine.run(joined)
        ends = np.cumsum([len(next(iter(own.values()))) for own in inputs])
        parts = {name: np.split(outputs[name], ends[:-1]) for name in self._settings.outputs}
        return [self._response({n: parts[n][i] for n in parts}) for i in range(len(inputs))]

    def _alone(self, inputs: Arrays) -> Any:
        if reason := _refusal(inputs, masked=self._settings.masked):
            return self._failure(reason, pb_utils.TritonError.INVALID_ARG)
        try:
            return self._response(self._run(inputs))
        except Exception as error:
            return self._failure(str(error), pb_utils.TritonError.INTERNAL)

    def _run(self, inputs: Arrays) -> Arrays:
        if not self._settings.masked:
            return self._engine.run(inputs)
        masks = inputs["masks"]
        parts = [
            self._engine.run({**inputs, "masks": masks[start : start + ROWS_PER_INFERENCE]})
            for start in range(0, len(masks), ROWS_PER_INFERENCE)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _response(self, outputs: Arrays) -> Any:
        tensors = [pb_utils.Tensor(name, outputs[name]) for name in self._settings.outputs]
        return pb_utils.InferenceResponse(tensors)

    def _failure(self, message: str, code: Any) -> Any:
        error = pb_utils.TritonError(message, code)
        return pb_utils.InferenceResponse(output_tensors=[], error=error)

    def _inputs_of(self, request: Any) -> dict[str, np.ndarray]:
        return {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self._settings.inputs
        }


def _engine(model: Path, settings: Settings) -> OpenVinoEngine | OnnxRuntimeEngine:
    if settings.openvino:
        return OpenVinoEngine(model, settings.threads, settings.precision)
    engine = OnnxRuntimeEngine(model, settings.threads)
    if settings.precision != engine.precision:
        raise pb_utils.TritonModelException(
            f"ONNX Runtime computes in {engine.precision}, not in {settings.precision}"
        )
    return engine


def _refusal(inputs: Arrays, *, masked: bool) -> str | None:
    """Why inputs cannot be answered; ONNX Runtime would notice, OpenVINO answers nonsense."""
    for name, array in inputs.items():
        if array.size == 0:
            return f"input {name!r} is empty"
    if not masked:
        return None
    image, baseline = inputs["image"].shape, inputs["baseline"].shape
    if any(own not in (1, whole) for own, whole in zip(baseline, image, strict=True)):
        return f"baseline {baseline} does not broadcast to image {image}"
    highest, columns = int(inputs["segments"].max()), inputs["masks"].shape[1]
    if highest >= columns:
        return f"segments go up to {highest}, masks have {columns} columns"
    return None
