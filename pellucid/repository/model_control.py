"""Triton's model-control API: what is loaded, and loading and unloading it."""

from dataclasses import dataclass
from typing import Any, Final

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from pellucid.repository.errors import TritonUnavailable

READY: Final = "READY"
_TIMEOUT_S: Final = 5.0
_LOAD_TIMEOUT_S: Final = 300.0
_AWAY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True)
class IndexEntry:
    """One entry of Triton's repository index."""

    name: str
    version: str
    """Empty for a model that was never loaded."""
    state: str
    """`READY`, `LOADING`, `UNAVAILABLE`...; empty for a model that was never loaded."""
    reason: str
    """Why it is not ready, in one line; empty where there is nothing to say."""


class ModelControl:
    """One Triton, started with `--model-control-mode=explicit`; for threads.

    Every method but `config` raises `TritonUnavailable` where Triton does not answer.
    """

    def __init__(self, url: str) -> None:
        """Name a Triton, `host:port`; it is connected to by every call anew."""
        self._url = url

    def index(self) -> tuple[IndexEntry, ...]:
        """Triton's repository index, by name and version."""
        answer = self._call("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        found = (
            IndexEntry(model.name, model.version, model.state, _one_line(model.reason))
            for model in answer.models
        )
        return tuple(sorted(found, key=lambda model: (model.name, model.version)))

    def config(self, name: str) -> model_config_pb2.ModelConfig | None:
        """Configuration of a model; None where it is not ready any more."""
        try:
            answer = self._call("ModelConfig", service_pb2.ModelConfigRequest(name=name))
        except (grpc.RpcError, TritonUnavailable):
            # Triton calls a model that is not ready unavailable, too.
            return None
        return answer.config

    def load(self, name: str, config: str, files: dict[str, bytes] | None = None) -> str | None:
        """Load one model, or replace what is loaded under its name.

        Args:
            name: of the model.
            config: configuration as JSON, instead of the one in its folder.
            files: content by path in the model's folder, instead of the folder.

        Returns:
            None, or why it did not load; what was loaded before is then loaded still.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        request.parameters["config"].string_param = config
        for path, content in (files or {}).items():
            request.parameters[f"file:{path}"].bytes_param = content
        return self._reason("RepositoryModelLoad", request)

    def unload(self, name: str) -> str | None:
        """Unload one model, all its versions; when this returns, it takes no request any more.

        Returns:
            None, or why it was not unloaded.
        """
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        return self._reason("RepositoryModelUnload", request)

    def _reason(self, method: str, request: Any) -> str | None:
        try:
            self._call(method, request, _LOAD_TIMEOUT_S)
        except grpc.RpcError as error:
            return _one_line(_details(error))
        return None

    def _call(self, method: str, request: Any, timeout_s: float = _TIMEOUT_S) -> Any:
        # A channel for every call: a shared one would back off while Triton starts.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(self._url, options) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            try:
                return getattr(stub, method)(request, timeout=timeout_s)
            except grpc.RpcError as error:
                if isinstance(error, grpc.Call) and error.code() in _AWAY:
                    reason = _one_line(_details(error))
                    raise TritonUnavailable(
                        f"Triton at {self._url} does not answer: {reason}"
                    ) from error
                raise


def _details(error: grpc.RpcError) -> str:
    return str(error.details()) if isinstance(error, grpc.Call) else str(error)


def _one_line(reason: str) -> str:
    """A reason without the traceback that a Python-based backend adds."""
    return " ".join(reason.partition("\n\nAt:")[0].split())
