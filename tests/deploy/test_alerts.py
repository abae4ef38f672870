"""The alerts: valid, fired by what they are for, and about metrics that there are."""

import re
import shutil
import subprocess
from importlib import import_module
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from tests.support.alerts import ALERTS, FILE, RECORDED, RULES
from tests.support.manifests import ROOT

FOLDER = FILE.parent
SERVED = ("explain_service", "gateway", "pellucid.serving", "preprocess_service")
for package in SERVED:
    import_module(f"{package}.metrics")  # which adds its own to the registry

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="there is no promtool: on Debian `apt install prometheus`",
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


@needs_promtool
def test_each_alert_fires_where_it_should_and_is_silent_where_all_is_well() -> None:
    done = promtool("test", "rules", "pellucid.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_valid() -> None:
    assert promtool("check", "rules", "pellucid.rules.yaml").returncode == 0


def test_each_alert_has_a_case_where_it_fires_and_one_where_it_is_silent() -> None:
    cases: Any = yaml.safe_load((FOLDER / "pellucid.test.yaml").read_text())
    checked = [case for test in cases["tests"] for case in test["alert_rule_test"]]
    for fires in (True, False):
        named = {case["alertname"] for case in checked if bool(case["exp_alerts"]) is fires}
        assert named == ALERTS


def test_every_metric_of_a_rule_is_one_that_the_services_have() -> None:
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    known = {*RECORDED, "up"}  # which Prometheus has of whatever it scrapes
    for family in REGISTRY.collect():
        known |= {family.name + suffix for suffix in suffixes.get(family.type, ())}
    for rule in RULES:
        words = re.sub(r'"[^"]*"|by \([^)]*\)|\w+=~?', "", rule["expr"])
        named = set(re.findall(r"\b(?:(?:pellucid|grpc)[\w:]*|up\b)", words))
        assert named and named <= known, rule["expr"]


def test_every_metric_has_few_series() -> None:
    """What labels may be is known beforehand: models, methods, labels of cards, reasons, calls."""
    allowed = {
        *("grpc_type", "grpc_service", "grpc_method", "grpc_code", "reason", "le"),
        *("model", "method", "label", "measure", "step", "peer", "cause", "media_type"),
        *("version", "python", "grpcio", "setting", "precision"),
    }
    for family in REGISTRY.collect():
        if family.name.startswith(("pellucid", "grpc")):
            for sample in family.samples:
                assert set(sample.labels) <= allowed, sample


def test_every_metric_and_every_alert_is_in_the_operations_manual() -> None:
    manual = (ROOT / "docs/operations.md").read_text()
    for family in REGISTRY.collect():
        if family.name.startswith(("pellucid", "grpc")):
            assert f"`{family.name}" in manual, family.name
    for alert in ALERTS:
        stem = re.sub("(Fast|Slow)$", "*", alert)
        assert f"`{stem}`" in manual, alert
