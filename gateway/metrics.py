"""What the gateway counts besides its calls. Models are labelled only once they are known."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PREDICTIONS: Final = Counter("pellucid_predictions", "Files that were classified.", ("model",))
WINDOWS: Final = Counter("pellucid_predicted_windows", "Tensors that were classified.", ("model",))
STEP_SECONDS: Final = Histogram(
    "pellucid_prediction_step_seconds",
    "Time of one step of a classification, in seconds.",
    ("model", "step"),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
EXPLANATIONS: Final = Counter(
    "pellucid_explained_maps", "Finished maps that were passed on.", ("model", "method")
)
PEER_UP: Final = Gauge(
    "pellucid_peer_up", "Whether a service behind this one is healthy.", ("peer",)
)
