"""Every query of the dashboards and alerts, answered by a real Prometheus over a live system."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deploy.dashboards.definitions import DASHBOARDS, Dashboard
from deploy.dashboards.pictures.__main__ import main
from deploy.dashboards.pictures.curves import curves_of
from deploy.dashboards.pictures.history import History, Window
from pellucid.client import Client, GradCam, Lime
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import UnreadableMedia
from tests.integration.system import media
from tests.support import prometheus
from tests.support.alerts import RECORDED, RULES
from tests.support.manifests import ROOT
from tests.support.prometheus import Prometheus
from tests.support.waiting import wait_until

WINDOW = "30s"
"""Of rates."""
MODEL = "pneumonia_mnist_cnn"
FILM = (ROOT / "samples/radiograph_opacity.png").read_bytes()

pytestmark = pytest.mark.skipif(not prometheus.is_installed(), reason=prometheus.MISSING)


@pytest.fixture(scope="module")
def scraped(
    shipped: EmbeddedSystem, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus over a system under a small load of answers, refusals and explanations."""
    targets = {
        service.name: re.sub("https?://|/metrics", "", service.metrics_url)
        for service in shipped.record.services
    }
    with prometheus.running(targets, tmp_path_factory.mktemp("prometheus")) as scraped:
        with Client(shipped.gateway_url) as client:
            wait_until(lambda: scraped.value("sum(up)") == len(targets))
            for _ in range(4):
                load(client)
                time.sleep(1.5)
        yield scraped


def load(client: Client) -> None:
    client.classify(media.image(), MODEL)  # which is no film
    client.explain_all(FILM, MODEL, methods=[Lime(samples=50), GradCam()])
    with pytest.raises(UnreadableMedia):
        client.classify(FILM[:200], MODEL)


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_every_panel_has_data_or_says_why_not(scraped: Prometheus, page: Dashboard) -> None:
    for panel in page.panels:
        for query in panel.queries.values():
            found = scraped.samples(query.replace("$interval", WINDOW))
            assert found or panel.zero, (panel.title, query)


def test_every_dashboard_is_drawn_with_curves(scraped: Prometheus, tmp_path: Path) -> None:
    main([scraped.url, str(tmp_path), "--minutes", "2"])
    for page in DASHBOARDS:
        with Image.open(tmp_path / f"{page.name}.png") as picture:
            assert picture.width == 1200
    history, window = History(scraped.url), Window(end=time.time(), seconds=120)
    panels = [panel for page in DASHBOARDS for panel in page.panels]
    empty = {panel.title for panel in panels if not curves_of(panel, history, window)}
    assert empty <= {"Cut short by a deadline"}  # no map of this load is


DOCUMENTED_ZERO = {"PellucidTruncated", "PellucidCertificateExpires"}
"""A ratio whose counter begins with the first such map; certificates, of which this has none."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule.get("record"))
def test_every_rule_has_data_to_judge(scraped: Prometheus, rule: Any) -> None:
    expression = re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", rule["expr"])
    # What is compared, without the comparison: an alert that is silent gives nothing.
    expression = re.sub(r"absent\((.*)\)", r"\1", expression).replace(" offset 15m", "")
    for compared in re.split(r"\band\b(?! on)|\bunless on \(\w+\)", expression):
        query = re.sub(r"(?: - time\(\))?\s[><=]+ [\d.* ]+$", "", compared.strip())
        for name, recorded in RECORDED.items():
            query = query.replace(name, re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", f"({recorded})"))
        assert scraped.samples(query) or rule.get("alert") in DOCUMENTED_ZERO, query


def test_a_renamed_metric_would_be_noticed(scraped: Prometheus) -> None:
    assert scraped.samples("sum(rate(pellucid_predictions_total[30s]))")
    assert not scraped.samples("sum(rate(pellucid_predictions_renamed_total[30s]))")
