"""Counters read from a service's Prometheus page."""

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families


def total(url: str, name: str, **labels: str) -> float:
    """Sum of a metric's samples that carry these labels."""
    with urlopen(url, timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
