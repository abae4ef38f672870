"""Write the dashboards as files that Grafana imports: `python -m deploy.dashboards FOLDER`."""

import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from deploy.dashboards.definitions import DASHBOARDS, PANEL_WIDTH, Dashboard, Panel

_SOURCE: Final = "${source}"
"""The data source that is chosen on the page."""
_HEIGHT: Final = 8
"""Of a panel, in rows of Grafana's grid."""


def encode(page: Dashboard) -> str:
    """A dashboard as JSON."""
    builder = (
        dashboards.Dashboard(page.title)
        .uid(f"pellucid-{page.name}")
        .tags(["pellucid"])
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .with_variable(dashboards.DatasourceVariable("source").label("Source").type("prometheus"))
    )
    for panel in page.panels:
        builder.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(builder.build()) + "\n"


def _panel(panel: Panel) -> timeseries.Panel:
    source = DataSourceRef(type_val="prometheus", uid=_SOURCE)
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(f"Empty where {panel.zero}." if panel.zero else "")
        .unit(panel.unit)
        .min(0)
        .height(_HEIGHT)
        .span(PANEL_WIDTH)
        .datasource(source)
    )
    for place, (legend, query) in enumerate(panel.queries.items()):
        target = prometheus.Dataquery().expr(query.replace("$interval", "$__rate_interval"))
        built.with_target(target.legend_format(legend).ref_id("ABCDEFGH"[place]))
    return built


def main() -> None:
    """Write every dashboard into the folder that the command line names."""
    (folder,) = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for page in DASHBOARDS:
        (folder / f"{page.name}.json").write_text(encode(page), encoding="utf-8")


if __name__ == "__main__":
    main()
