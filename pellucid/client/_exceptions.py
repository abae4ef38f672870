"""How calls fail: with the family of `pellucid.errors`, or with one of these.

ServerError            the server failed in a way that no request can prevent
IncompleteExplanation  an explanation ended early, and some of its maps are there
"""

from typing import Any

import grpc

from pellucid.client.results import Result
from pellucid.errors import PellucidError
from pellucid.status import from_rpc_error


class ServerError(Exception):
    """The server failed in a way that no request can prevent, or is no Pellucid server.

    Attributes:
        code: gRPC status code by name, e.g. `INTERNAL`.
        request_id: what to search for in the server's logs.
    """

    def __init__(self, message: str, *, code: str, request_id: str) -> None:
        """Describe what went wrong; see the class for the arguments."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id


class IncompleteExplanation(Exception):
    """An explanation ended early, after some of its maps had come.

    Attributes:
        result: what came: finished maps, and the last partial map of each method that ran.
        error: why it ended.
    """

    def __init__(self, result: Result, error: PellucidError | ServerError) -> None:
        """Keep what came, and why there is no more."""
        super().__init__(f"the explanation ended early: {error}")
        self.result = result
        self.error = error


def from_call(error: Any, peer: str, request_id: str) -> PellucidError | ServerError:
    """What a failed call to `peer` means; `error` is a `grpc.RpcError` of either kind."""
    known = from_rpc_error(error, peer)
    if known is not None:
        known.metadata.setdefault("request_id", request_id)
        return known
    code: grpc.StatusCode = error.code()
    return ServerError(
        f"the {peer} answered {code.name}: {error.details() or 'without a message'}",
        code=code.name,
        request_id=request_id,
    )
