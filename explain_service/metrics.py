"""Prometheus metrics of the explain service."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900)
_VALUES: Final = (1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1, 3)

STEPS = Counter("pellucid_explain_step", "Model calls made for explanations.", ("method",))
SECONDS = Histogram(
    "pellucid_explain_seconds", "Time of one method.", ("method", "model"), buckets=_SECONDS
)
QUEUE_WAIT = Histogram(
    "pellucid_queue_wait_seconds",
    "How long an explanation waited for a worker, in seconds.",
    buckets=(0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900),
)
WORKERS = Gauge("pellucid_explain_workers", "Explanations that can be computed at once.")
COPY_DIFFERENCE = Gauge(
    "pellucid_copy_difference",
    "Largest difference between the scores of a gradient copy and of what Triton serves, 0 to 1.",
    ("model",),
)
COPY_REFUSED = Gauge(
    "pellucid_copy_refused",
    "Whether a model has no gradient copy that answers as it does: 1 or 0.",
    ("model",),
)
QUEUE_DEPTH = Gauge("pellucid_queue_depth", "Explanations that wait for a worker.")
RUNNING = Gauge("pellucid_explain_running", "Explanations that are being computed.")
MEASURES = Histogram(
    "pellucid_explain_measure",
    "Numbers that say how far a map can be trusted, by their name.",
    ("measure", "method", "model"),
    buckets=_VALUES,
)
AGREEMENT = Histogram(
    "pellucid_explain_agreement",
    "Rank correlation of two methods' maps of one target, -1 to 1.",
    ("model",),
    buckets=(-0.5, -0.2, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
)
TRUNCATED = Counter(
    "pellucid_explain_truncated", "Maps that the deadline cut short.", ("method", "model")
)
FAILED = Counter(
    "pellucid_explain_failed", "Methods that failed while others went on.", ("method", "reason")
)
CANCELLED = Counter("pellucid_explain_cancelled", "Explanations that were cancelled.")
TRITON_CALLS = Counter("pellucid_triton_calls", "Calls to Triton with masks.", ("model",))
TRITON_BYTES = Counter(
    "pellucid_triton_sent_bytes", "Bytes of tensors sent to Triton with masks.", ("model",)
)
