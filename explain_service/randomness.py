"""Random draws that belong to one request, also where a library takes them from global state."""

from types import FunctionType, MethodType
from typing import Any

import numpy as np


def random_state(seed: int) -> np.random.RandomState:
    """A generator of the kind that lime, shap and scikit-learn take, from a seed of 64 bits."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def with_own_randomness(owner: Any, method: str, source: np.random.RandomState) -> MethodType:
    """A library's method, bound to `owner`, that finds `source` where it asks for `np.random`.

    shap draws from numpy's global generator. Seeding that one would tie requests that run at the
    same time to each other; here the method's code runs as it is, but sees a numpy of its own.
    """
    found = getattr(type(owner), method)
    function = FunctionType(
        found.__code__,
        {**found.__globals__, "np": _Numpy(source)},
        found.__name__,
        found.__defaults__,
        found.__closure__,
    )
    function.__kwdefaults__ = found.__kwdefaults__
    return MethodType(function, owner)


class _Numpy:
    """numpy, but for its source of random numbers."""

    def __init__(self, source: np.random.RandomState) -> None:
        self.random = source

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
