"""Explains the models that Triton serves: by masks through Triton, by gradients on a local copy."""
