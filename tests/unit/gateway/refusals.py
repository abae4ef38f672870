"""What a refused call says."""

import grpc
from grpc_status import rpc_status

from pellucid.errors import PellucidError
from pellucid.status import from_status


def refusal(error: grpc.RpcError) -> PellucidError:
    """The error of the family that a failed call carries."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    found = from_status(status)
    assert found is not None, error
    return found
