"""What is chosen from a few: each is a plain string too."""

from enum import Enum


class _Choice(str, Enum):
    """A string out of a few, which prints as itself."""

    def __str__(self) -> str:
        return str(self.value)


class Baseline(_Choice):
    """What stands where a segment is hidden, and where the path of gradients begins.

    The default is the first of the model's `baselines` in the capabilities.
    """

    BLACK = "black"
    """Black, in pixels."""
    MEAN = "mean"
    """Mean of the input, for each channel."""
    BLUR = "blur"
    """The input, blurred."""
    SILENCE = "silence"
    """The lowest power of the model's contract; for sound only."""


class ScoreSpace(_Choice):
    """Scale on which a score is explained."""

    LOGIT = "logit"
    """Before the activation; the default."""
    PROBABILITY = "probability"
    """After the activation, 0 to 1."""


class Grade(_Choice):
    """How a measure of trust reads."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


class ModelState(_Choice):
    """Whether a model answers."""

    READY = "ready"
    LOADING = "loading"
    """It will answer soon; or it is unloading."""
    FAILED = "failed"
    """It could not be loaded, or its card cannot be read."""
    UNKNOWN = "unknown"


class Runtime(_Choice):
    """Where a method runs."""

    TRITON = "triton"
    """In Triton, on masks."""
    LOCAL_COPY = "local_copy"
    """On the gradient copy, in the explain service."""
