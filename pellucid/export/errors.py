"""What can go wrong while a model is built."""


class ExportError(Exception):
    """A model's folder cannot be turned into what Triton serves; the message says why."""
