"""Gradient methods: they run here, on a copy of the weights that Triton serves.

`copies` loads and checks the copies, `torch_copy` and `keras_copy` are the two kinds of them, and
each method is a module of its own. Neither torch nor tensorflow is imported before a model needs
it: both are large.
"""

from explain_service.gradient.copies import GradientCopies, Predict

__all__ = ["GradientCopies", "Predict"]
