"""What of a request's methods can be checked without asking anyone.

Parameters are the explain service's to check: it owns their ranges.
"""

from collections.abc import Sequence
from typing import Final

from pellucid.api.explain.v1 import methods_pb2
from pellucid.errors import InvalidArgument

METHOD_NAMES: Final = tuple(
    field.name for field in methods_pb2.Method.DESCRIPTOR.oneofs_by_name["method"].fields
)
"""Every method that the contract knows."""
MAX_METHODS: Final = 16
"""In one request."""


def check_methods(methods: Sequence[methods_pb2.Method]) -> None:
    """Refuse too many methods, empty ones, and one that is asked for twice.

    Raises:
        InvalidArgument: it names the method at fault.
    """
    if len(methods) > MAX_METHODS:
        raise InvalidArgument(
            f"{len(methods)} methods were asked for",
            field="methods",
            remedy=f"ask for at most {MAX_METHODS}",
        )
    seen: set[str] = set()
    for place, method in enumerate(methods):
        name = method.WhichOneof("method")
        if name is None:
            raise InvalidArgument(
                "the method is empty",
                field=f"methods[{place}]",
                remedy=f"set one of: {', '.join(METHOD_NAMES)}",
            )
        if name in seen:
            # Progress and maps are told apart by the name of their method.
            raise InvalidArgument(
                f"{name} is asked for twice",
                field=f"methods[{place}]",
                remedy="send one request for each set of parameters",
                method=name,
            )
        seen.add(name)


def with_defaults(name: str) -> methods_pb2.Method:
    """A method with no parameter set."""
    method = methods_pb2.Method()
    getattr(method, name).SetInParent()
    return method
