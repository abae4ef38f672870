"""The dashboards as pictures of what a Prometheus has recorded, where there is no Grafana."""
