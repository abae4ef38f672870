"""Prometheus metrics of a gRPC server, under go-grpc-middleware's names, so dashboards fit."""

import platform
from importlib import metadata
from typing import Final

import grpc
from prometheus_client import Counter, Gauge, Histogram, Info

from pellucid.errors import family
from pellucid.status import BUG

_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")

STARTED = Counter("grpc_server_started", "RPCs started on the server.", _LABELS)
HANDLED = Counter("grpc_server_handled", "RPCs completed on the server.", (*_LABELS, "grpc_code"))
RECEIVED = Counter("grpc_server_msg_received", "Messages received on the server.", _LABELS)
SENT = Counter("grpc_server_msg_sent", "Messages sent by the server.", _LABELS)
SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Response latency on the server, in seconds.",
    _LABELS,
    # To the longest deadline.
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900),
)
ERRORS = Counter(
    "pellucid_errors",
    "RPCs that ended with an error of the API, by its reason.",
    ("grpc_service", "grpc_method", "reason"),
)
LOOP_LAG = Histogram(
    "pellucid_event_loop_lag_seconds",
    "How much later than asked for the event loop wakes up, in seconds.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
CERTIFICATE_EXPIRY = Gauge(
    "pellucid_certificate_expiry_timestamp_seconds",
    "When the first certificate of a file expires, in seconds since 1970; 0 if it is unreadable.",
    ("setting",),
)
MODELS = Gauge(
    "pellucid_model_info",
    "Models that are served, 1 each: which version, in which arithmetic.",
    ("model", "version", "precision"),
)
ENGINE = Info("pellucid_engine", "What serves the models, by its own word.")
BUILD = Info("pellucid_build", "Versions of Pellucid and of what it runs on.")
BUILD.info(
    {
        "version": metadata.version("pellucid"),
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
    }
)


def create_series(service: str, method: str, kind: str) -> None:
    """Make a method's series exist at 0, so that rates are right from the first call."""
    labels = (kind, service, method)
    for metric in (STARTED, RECEIVED, SENT, SECONDS):
        metric.labels(*labels)
    for code in grpc.StatusCode:
        HANDLED.labels(*labels, code_name(code.name))
    for reason in (*family(), BUG):
        ERRORS.labels(service, method, reason)


def code_name(name: str) -> str:
    """A status code as Go spells it: `INVALID_ARGUMENT` is `InvalidArgument`."""
    special = {"OK": "OK", "CANCELLED": "Canceled"}
    return special.get(name) or name.title().replace("_", "")
