"""Gradient copies of the served models, in torch or keras.

`copies` loads and checks them, `torch_copy` and `keras_copy` are the two kinds. Neither torch nor
tensorflow is imported before a model needs it: both are large.
"""
