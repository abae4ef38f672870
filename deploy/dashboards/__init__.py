"""Grafana dashboards over Pellucid's and Triton's metrics: `make dashboards`."""
