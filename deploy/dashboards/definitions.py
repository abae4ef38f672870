"""What each dashboard shows: panels, and the queries behind them.

Queries are PromQL. `$interval` stands for the window of a rate, which Grafana chooses by the time
between two scrapes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_GATEWAY: Final = 'grpc_service="pellucid.api.gateway.v1.GatewayService"'
_CLASSIFY: Final = f'{_GATEWAY},grpc_method="Classify"'
_EXPLAIN: Final = f'{_GATEWAY},grpc_method="Explain"'
_FAULTS: Final = 'grpc_code=~"Internal|Unavailable|Unknown|DataLoss"'
_PROCESS: Final = "{{job}} {{instance}}"
"""As a legend."""

GRID_COLUMNS, PANEL_WIDTH = 24, 12
"""Of a page in Grafana, and those that a panel takes."""


@dataclass(frozen=True)
class Panel:
    """Curves in one picture."""

    title: str
    unit: str
    """As Grafana names it: `s`, `percentunit`, `reqps`, `bytes`, `short`."""
    queries: Mapping[str, str]
    """By legend; `{{label}}` in it is a label's value."""
    zero: str = ""
    """Why a healthy system may have no data here; empty where it always has."""


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    name: str
    """Of its file and its address."""
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "", where: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{where}}}[$interval]))"


def _quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{histogram}_bucket', labels, where)})"


def _quantiles(shares: Sequence[float], histogram: str, where: str = "") -> dict[str, str]:
    """A curve for each, with its share as the legend."""
    return {f"{share:.0%}": _quantile(share, histogram, where=where) for share in shares}


def _ratio(above: str, below: str) -> str:
    return f"{above} / {below}"


SERVICE_LEVEL: Final = Dashboard(
    "service-level",
    "Pellucid: service level",
    (
        Panel(
            "Calls of clients",
            "reqps",
            {"{{grpc_method}}": _rate("grpc_server_handled_total", "grpc_method", _GATEWAY)},
        ),
        Panel(
            "Answered without a fault of the servers",
            "percentunit",
            {
                "all calls": "1 - "
                + _ratio(
                    _rate("grpc_server_handled_total", where=f"{_GATEWAY},{_FAULTS}"),
                    _rate("grpc_server_handled_total", where=_GATEWAY),
                )
            },
        ),
        Panel(
            "Errors by reason",
            "reqps",
            {
                "{{grpc_method}} {{reason}}": _rate("pellucid_errors_total", "grpc_method, reason")
                + " > 0"
            },
            zero="no call failed or was refused",
        ),
        Panel(
            "Time of Classify",
            "s",
            _quantiles((0.5, 0.95, 0.99), "grpc_server_handling_seconds", _CLASSIFY),
        ),
        Panel(
            "Time of its steps, 95 %",
            "s",
            {"{{step}}": _quantile(0.95, "pellucid_prediction_step_seconds", "step")},
        ),
        Panel(
            "Time of Explain",
            "s",
            _quantiles((0.5, 0.95), "grpc_server_handling_seconds", _EXPLAIN),
        ),
        Panel(
            "Healthy, as the gateway sees it",
            "short",
            {"{{peer}}": "min by (peer) (pellucid_peer_up)"},
        ),
    ),
)

EXPLANATIONS: Final = Dashboard(
    "explanations",
    "Pellucid: explanations",
    (
        Panel("Maps", "reqps", {"{{method}}": _rate("pellucid_explained_maps_total", "method")}),
        Panel(
            "Time of a method, 95 %",
            "s",
            {"{{method}}": _quantile(0.95, "pellucid_explain_seconds", "method")},
        ),
        Panel(
            "Model calls", "reqps", {"{{method}}": _rate("pellucid_explain_step_total", "method")}
        ),
        Panel(
            "Waiting for a worker",
            "s",
            _quantiles((0.5, 0.95), "pellucid_queue_wait_seconds"),
        ),
        Panel(
            "Running and waiting",
            "short",
            {
                "running": "sum(pellucid_explain_running)",
                "waiting": "sum(pellucid_queue_depth)",
                "workers": "sum(pellucid_explain_workers)",
            },
        ),
        Panel(
            "Cut short by a deadline",
            "percentunit",
            {
                "{{model}}": _ratio(
                    _rate("pellucid_explain_truncated_total", "model"),
                    _rate("pellucid_explain_seconds_count", "model"),
                )
            },
            zero="no map was cut short",
        ),
        Panel(
            "Failed or not waited for",
            "reqps",
            {
                "{{method}} {{reason}}": _rate("pellucid_explain_failed_total", "method, reason"),
                "cancelled": _rate("pellucid_explain_cancelled_total"),
            },
            zero="no method failed",
        ),
    ),
)

TRUST: Final = Dashboard(
    "trust",
    "Pellucid: trust and parity",
    (
        Panel(
            "Copies against what Triton serves: largest difference of scores",
            "percentunit",
            {"{{model}}": "max by (model) (pellucid_copy_difference)"},
        ),
        Panel("Copies refused", "short", {"{{model}}": "max by (model) (pellucid_copy_refused)"}),
        Panel(
            "How alike the methods' maps are: rank correlation, median",
            "short",
            {"{{model}}": _quantile(0.5, "pellucid_explain_agreement", "model")},
        ),
        Panel(
            "What maps say of themselves, median",
            "short",
            {
                "{{measure}} {{method}}": _quantile(
                    0.5, "pellucid_explain_measure", "measure, method"
                )
            },
        ),
    ),
)

DRIFT: Final = Dashboard(
    "drift",
    "Pellucid: drift",
    (
        Panel("Files", "reqps", {"{{model}}": _rate("pellucid_predictions_total", "model")}),
        Panel(
            "Answers by label",
            "percentunit",
            {
                "{{model}} {{label}}": _rate("pellucid_labels_total", "model, label")
                + " / on (model) group_left "
                + _rate("pellucid_predictions_total", "model")
            },
        ),
        Panel(
            "Scores, median",
            "percentunit",
            {"{{model}} {{label}}": _quantile(0.5, "pellucid_scores", "model, label")},
        ),
        Panel(
            "Unlike the training data",
            "percentunit",
            {
                "{{model}}": _ratio(
                    _rate("pellucid_unlike_training_total", "model"),
                    _rate("pellucid_predictions_total", "model"),
                )
            },
            zero="no file was unlike",
        ),
        Panel(
            "Files refused",
            "reqps",
            {"{{reason}}": _rate("pellucid_preprocess_rejected_total", "reason")},
        ),
    ),
)

TRITON: Final = Dashboard(
    "triton",
    "Pellucid: Triton",
    (
        Panel("Inferences", "reqps", {"{{model}}": _rate("nv_inference_count", "model")}),
        Panel("Requests", "reqps", {"{{model}}": _rate("nv_inference_request_success", "model")}),
        Panel("Failures", "reqps", {"{{model}}": _rate("nv_inference_request_failure", "model")}),
        Panel(
            "Time in the queue, mean",
            "s",
            {
                "{{model}}": _ratio(
                    _rate("nv_inference_queue_duration_us", "model"),
                    _rate("nv_inference_request_success", "model"),
                )
                + " / 1e6"
            },
        ),
        Panel(
            "Time of computing, mean",
            "s",
            {
                "{{model}}": _ratio(
                    _rate("nv_inference_compute_infer_duration_us", "model"),
                    _rate("nv_inference_request_success", "model"),
                )
                + " / 1e6"
            },
        ),
        Panel(
            "Waiting",
            "short",
            {"{{model}}": "sum by (model) (nv_inference_pending_request_count)"},
        ),
    ),
)

CAPACITY: Final = Dashboard(
    "capacity",
    "Pellucid: capacity",
    (
        Panel(
            "CPU, in cores",
            "short",
            {_PROCESS: _rate("process_cpu_seconds_total", "job, instance")},
        ),
        Panel(
            "Memory", "bytes", {_PROCESS: "sum by (job, instance) (process_resident_memory_bytes)"}
        ),
        Panel(
            "Lag of the event loop, 99 %",
            "s",
            {_PROCESS: _quantile(0.99, "pellucid_event_loop_lag_seconds", "job, instance")},
        ),
        Panel(
            "Decoding",
            "short",
            {
                "files read or waiting": "sum(pellucid_preprocess_load)",
                "workers": "sum(pellucid_preprocess_workers)",
            },
        ),
        Panel(
            "Time to read a file, 95 %",
            "s",
            {"{{media_type}}": _quantile(0.95, "pellucid_preprocess_seconds", "media_type")},
        ),
        Panel(
            "Sent to Triton with masks",
            "Bps",
            {"{{model}}": _rate("pellucid_triton_sent_bytes_total", "model")},
        ),
    ),
)

DASHBOARDS: Final = (SERVICE_LEVEL, EXPLANATIONS, TRUST, DRIFT, TRITON, CAPACITY)
