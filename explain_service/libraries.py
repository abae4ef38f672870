"""Versions of the libraries that take part in a method, for the receipts."""

from functools import cache
from importlib.metadata import version
from typing import Final

_BY_METHOD: Final = {
    "lime": ("lime", "scikit-learn"),
    "kernel_shap": ("shap",),
    "partition_shap": ("shap",),
}
_SUPERPIXELS: Final = ("slic", "quickshift")


def library_versions(method: str, segmentation: str | None) -> dict[str, str]:
    """Version by distribution; `segmentation` is None for methods without segments."""
    names: tuple[str, ...] = ("pellucid", "numpy", *_BY_METHOD.get(method, ()))
    if segmentation in _SUPERPIXELS:
        names += ("scikit-image",)
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str:
    return version(name)
