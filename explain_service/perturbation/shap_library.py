"""The parts of shap that are used, imported without its compiler.

shap has numba compile a few small loops when they first run, which takes longer (20 s) than all
their runs over our few hundred segments together. They are plain Python below the decorator.
"""

import logging
import warnings
from typing import Any, Final

import numba

from explain_service.measures import MeasureKind

_config: Any = numba.config
_before = _config.DISABLE_JIT
_config.DISABLE_JIT = True
try:
    with warnings.catch_warnings(action="ignore"):  # of its plots, about matplotlib
        from shap import KernelExplainer
        from shap.explainers import PartitionExplainer
finally:
    _config.DISABLE_JIT = _before

# It logs every value that it finds.
logging.getLogger("shap").setLevel(logging.WARNING)

ADDITIVITY_GAP: Final = MeasureKind(
    "additivity_gap",
    "additivity gap",
    "|sum of the values - (score - baseline score)|.",
    by_construction=True,
)
"""Of both explainers; the regression and the tree are made to add up."""

__all__ = ["ADDITIVITY_GAP", "KernelExplainer", "PartitionExplainer"]
