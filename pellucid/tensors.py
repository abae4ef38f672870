"""Tensors of the API to numpy and back, and the digest that names them."""

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pellucid.api.common.v1 import tensor_pb2
from pellucid.errors import InvalidArgument

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    tensor_pb2.DATA_TYPE_UINT16: np.dtype("<u2"),
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
_TYPES: Final = {dtype: data_type for data_type, dtype in _DTYPES.items()}
_MOST_AXES: Final = 8
"""Of a tensor that comes from outside. The product of a million lengths takes Python minutes."""


def encode(array: Array) -> tensor_pb2.Tensor:
    """Encode an array of uint8, uint16 or float32."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return tensor_pb2.Tensor(
        data_type=_TYPES[little.dtype],  # type: ignore[arg-type]
        shape=little.shape,
        data=little.tobytes(),
    )


def decode(tensor: tensor_pb2.Tensor, field: str) -> Array:
    """Decode a tensor that came from outside; the array is read-only.

    Args:
        tensor: as it was received.
        field: its path in the request, for the error.

    Raises:
        InvalidArgument: type, shape and data do not fit each other.
    """
    dtype = _DTYPES.get(tensor.data_type)
    if dtype is None:
        raise InvalidArgument(
            "the tensor has no data type", field=f"{field}.data_type", remedy="set one"
        )
    if len(tensor.shape) > _MOST_AXES:
        raise InvalidArgument(
            f"the tensor has {len(tensor.shape)} axes",
            field=f"{field}.shape",
            remedy=f"send at most {_MOST_AXES} axes",
        )
    expected = dtype.itemsize
    for length in tensor.shape:  # Python's integers do not overflow
        expected *= length
    if not tensor.shape or expected == 0 or expected != len(tensor.data):
        raise InvalidArgument(
            f"the tensor's shape wants {expected} bytes, its data has {len(tensor.data)}",
            field=f"{field}.data",
            remedy="send product(shape) elements, row-major and little-endian",
        )
    return np.frombuffer(tensor.data, dtype).reshape(tuple(tensor.shape))


def digest(array: Array) -> str:
    """SHA-256 over data type, shape and little-endian data, in hexadecimal."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    header = f"{little.dtype.name}{list(little.shape)}".encode()
    return hashlib.sha256(header + little.tobytes()).hexdigest()
