"""The dashboards as files for Grafana; `system/test_watching.py` has their queries answered."""

import json

import pytest

from deploy.dashboards.__main__ import encode
from deploy.dashboards.definitions import DASHBOARDS, Dashboard


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_each_panel_has_its_place_its_source_and_its_queries(page: Dashboard) -> None:
    written = json.loads(encode(page))
    assert written["uid"] == f"pellucid-{page.name}"
    assert [panel["title"] for panel in written["panels"]] == [one.title for one in page.panels]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in written["panels"]}
    assert len(places) == len(page.panels)
    for panel, defined in zip(written["panels"], page.panels, strict=True):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        assert [target["legendFormat"] for target in panel["targets"]] == list(defined.queries)
        assert not any("$interval" in target["expr"] for target in panel["targets"])
