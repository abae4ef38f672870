"""Failed calls to exceptions: the family of `pellucid.errors`, or `ServerError` for the rest."""

from typing import Any

import grpc

from pellucid.errors import PellucidError
from pellucid.status import from_rpc_error


class ServerError(Exception):
    """The server failed in a way that no request can mend, or is no Pellucid server.

    Attributes:
        code: gRPC status code by name, e.g. `INTERNAL`.
        request_id: what to look for in the server's logs.
    """

    def __init__(self, message: str, *, code: str, request_id: str) -> None:
        """Describe what went wrong; see the class for the arguments."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id


def from_call(error: Any, url: str, request_id: str) -> PellucidError | ServerError:
    """What a failed call means; `error` is a `grpc.RpcError` of either kind."""
    known = from_rpc_error(error, f"server at {url}")
    if known is not None:
        known.metadata.setdefault("request_id", request_id)
        return known
    code: grpc.StatusCode = error.code()
    return ServerError(
        f"the server at {url} answered {code.name}: {error.details() or 'without a word'}",
        code=code.name,
        request_id=request_id,
    )
