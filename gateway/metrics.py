"""What the gateway counts besides its calls. Models are labelled only once they are known."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PREDICTIONS: Final = Counter("pellucid_predictions", "Files that were classified.", ("model",))
WINDOWS: Final = Counter("pellucid_predicted_windows", "Tensors that were classified.", ("model",))
STEP_SECONDS: Final = Histogram(
    "pellucid_prediction_step_seconds",
    "Time of one step of a classification, in seconds.",
    ("model", "step"),
    # To the longest wait for one of the services.
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
SCORES: Final = Histogram(
    "pellucid_scores",
    "Raw scores of files, by label: what drifts when the inputs do.",
    ("model", "label"),
    buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1),
)
LABELS: Final = Counter(
    "pellucid_labels", "Files by the label of the highest score.", ("model", "label")
)
UNLIKE: Final = Counter(
    "pellucid_unlike_training", "Files that are unlike the training data.", ("model",)
)
EXPLANATIONS: Final = Counter(
    "pellucid_explained_maps", "Finished maps that were passed on.", ("model", "method")
)
UNCOUNTED: Final = Counter(
    "pellucid_quota_uncounted", "Calls that no quota counted, because its store did not answer."
)
PEER_UP: Final = Gauge(
    "pellucid_peer_up", "Whether a service behind this one is healthy.", ("peer",)
)
