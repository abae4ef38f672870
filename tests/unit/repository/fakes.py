"""A Triton that keeps its models in a dictionary and writes down what it is asked to do."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Loads everything but what fails, and unloads everything but `stuck`."""

    actions: list[str] = field(default_factory=list)
    ready: dict[str, Any] = field(default_factory=dict)
    """Configuration by name."""
    failing: set[str] = field(default_factory=set)
    """Names of models that do not load."""
    reasons: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def restart(self) -> None:
        """Forget everything."""
        with self._lock:
            self.ready.clear()
            self.reasons.clear()

    def parameter(self, model: str, name: str) -> str:
        """One parameter of a model that is ready."""
        return str(self.ready[model].parameters[name].string_value)

    def RepositoryIndex(self, request, context):  # noqa: N802
        answer = service_pb2.RepositoryIndexResponse()
        with self._lock:
            for name, config in self.ready.items():
                version = str(config.version_policy.specific.versions[0])
                answer.models.add(name=name, version=version, state="READY")
            for name, reason in self.reasons.items():
                answer.models.add(name=name, version="1", state="UNAVAILABLE", reason=reason)
        return answer

    def ModelConfig(self, request, context):  # noqa: N802
        if request.name not in self.ready:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"unknown model: {request.name!r}")
        return service_pb2.ModelConfigResponse(config=self.ready[request.name])

    def RepositoryModelLoad(self, request, context):  # noqa: N802
        name = request.model_name
        self.actions.append(f"load {name}")
        fields = json.loads(request.parameters["config"].string_param)
        failure = fields["parameters"].get("pellucid_failure", {}).get("string_value")
        if fields["backend"] != "onnxruntime":
            failure = f"unable to find backend library for backend '{fields['backend']}'"
        if failure or name in self.failing:
            self.reasons[name] = failure or "too large"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"load failed: {self.reasons[name]}")
        self.reasons.pop(name, None)
        self.ready[name] = json_format.ParseDict(fields, model_config_pb2.ModelConfig())
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request, context):  # noqa: N802
        self.actions.append(f"unload {request.model_name}")
        if request.model_name == "stuck":
            context.abort(grpc.StatusCode.INTERNAL, "it is in use")
        self.ready.pop(request.model_name, None)
        return service_pb2.RepositoryModelUnloadResponse()


@contextmanager
def serving(fake: FakeTriton) -> Iterator[FakeTriton]:
    """Serve a fake at its `url`, which it gets here unless it has one."""
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port(fake.url or "127.0.0.1:0")
    fake.url = f"127.0.0.1:{port}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(None).wait()
