"""Metrics of the preprocess service, beside those that every server has."""

from enum import StrEnum
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pellucid.errors import (
    DeadlineTooShort,
    InvalidArgument,
    MediaLimitExceeded,
    QueueFull,
    UnreadableMedia,
    UnsupportedMedia,
)
from preprocess_service.sniffing import ACCEPTED

SECONDS: Final = Histogram(
    "pellucid_preprocess_seconds",
    "Time to turn one file into tensors, without waiting for a worker, in seconds.",
    ("media_type",),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REJECTED: Final = Counter(
    "pellucid_preprocess_rejected", "Files that were refused, by the error's reason.", ("reason",)
)
WORKERS: Final = Gauge("pellucid_preprocess_workers", "Files that can be decoded at once.")
LOAD: Final = Gauge(
    "pellucid_preprocess_load", "Files that occupy a worker process or wait for one."
)
REPLACED: Final = Counter(
    "pellucid_preprocess_workers_replaced",
    "Worker processes that were replaced, by the reason.",
    ("cause",),
)


class Cause(StrEnum):
    """Why a worker process was replaced."""

    CRASHED = "crashed"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    CANCELLED = "cancelled"


def create_series() -> None:
    """Make every series exist at 0, so that rates are right from the first file."""
    for media_types in ACCEPTED.values():
        for media_type in media_types:
            SECONDS.labels(media_type)
    for cause in Cause:
        REPLACED.labels(cause)
    for error in (
        DeadlineTooShort,
        InvalidArgument,
        MediaLimitExceeded,
        QueueFull,
        UnreadableMedia,
        UnsupportedMedia,
    ):
        REJECTED.labels(error.reason)
