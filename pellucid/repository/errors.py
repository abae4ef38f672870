"""What can go wrong with a model repository."""


class RepositoryError(Exception):
    """Base of what can go wrong with a model repository; the message says why."""


class ModelNotBuilt(RepositoryError):
    """A model's folder cannot be turned into what Triton serves."""


class BuilderFailed(RepositoryError):
    """The process that builds models ended without naming a model."""


class TritonUnavailable(RepositoryError):
    """Triton does not answer."""
