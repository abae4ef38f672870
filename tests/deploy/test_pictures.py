"""The dashboards as pictures; `system/test_watching.py` draws those of a live system."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import matplotlib.text
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deploy.dashboards.definitions import DASHBOARDS, Dashboard, Panel
from deploy.dashboards.pictures.__main__ import main
from deploy.dashboards.pictures.card import card_height, draw_card
from deploy.dashboards.pictures.clock import interval_text, ticks
from deploy.dashboards.pictures.curves import Curve, curves_of, fill
from deploy.dashboards.pictures.history import History, PrometheusError, Series, Window
from deploy.dashboards.pictures.page import draw_page
from deploy.dashboards.pictures.units import scale_of
from pellucid.addresses import address
from pellucid.embedded.ports import LOOPBACK

HOUR = Window(end=1_800_000_000, seconds=3_600)  # 08:00 UTC
ANYTHING = {"grpc_method": "Classify", "model": "toy", "method": "lime", "instance": "one:9090"}


class Given:
    """Answers every query with the same series."""

    def __init__(self, *series: Series) -> None:
        self.given = series
        self.queries: list[str] = []

    def series(self, query: str, window: Window) -> tuple[Series, ...]:
        self.queries.append(query)
        return self.given


def rising(**labels: str) -> Series:
    return Series(labels, np.linspace(0, 3, HOUR.steps + 1))


def texts(panel: Panel, curves: list[Curve]) -> list[str]:
    """All that a card of the panel has to read."""
    figure = Figure()
    draw_card(figure.add_subfigure(figure.add_gridspec()[0]), 300, panel, curves, HOUR)
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize("page", DASHBOARDS, ids=lambda page: page.name)
def test_each_dashboard_is_drawn_with_all_its_panels(page: Dashboard, tmp_path: Path) -> None:
    given = Given(rising(**ANYTHING), rising(**ANYTHING))
    curves = [curves_of(panel, given, HOUR) for panel in page.panels]
    draw_page(page, curves, HOUR, tmp_path / "page.png")
    heights = [card_height(one) for one in curves]
    rows = [max(heights[first : first + 2]) for first in range(0, len(heights), 2)]
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.size == (1200, 44 + sum(rows))
    assert not any("$" in query for query in given.queries)


def test_legends_have_the_values_of_labels() -> None:
    panel = Panel("Maps", "reqps", {"{{model}} {{method}}": "maps", "all": "sum(maps)"})
    curves = curves_of(panel, Given(rising(model="toy", method="lime")), HOUR)
    assert [curve.legend for curve in curves] == ["toy lime", "all"]
    assert {"Maps", "toy lime", "all", "2 req/s", "07:30"} <= set(texts(panel, curves))
    assert fill("{{job}} {{instance}}", {"instance": "one:9090"}) == "one:9090"


def test_rates_are_taken_over_the_distance_of_two_points_or_four_readings() -> None:
    panel = Panel("Maps", "reqps", {"all": "rate(maps[$interval])"})
    for seconds, query in ((3_600, "rate(maps[60s])"), (86_400, "rate(maps[735s])")):
        given = Given()
        assert curves_of(panel, given, Window(end=HOUR.end, seconds=seconds)) == []
        assert given.queries == [query]


def test_a_panel_without_data_says_why() -> None:
    nothing = Given(Series({}, np.full(HOUR.steps + 1, np.nan)))
    empty = Panel("Cut short", "percentunit", {"all": "cut"}, zero="no map was cut short")
    assert curves_of(empty, nothing, HOUR) == []
    assert "no data: no map was cut short" in texts(empty, [])
    assert "no data" in texts(Panel("Maps", "reqps", {"all": "maps"}), [])


def test_legends_for_which_there_is_no_room_are_counted() -> None:
    panel = Panel("Maps", "reqps", {"{{model}} of a rather long name for a legend": "maps"})
    curves = curves_of(panel, Given(*(rising(model=f"model {one}") for one in range(99))), HOUR)
    assert any(text.startswith("and ") and text.endswith(" more") for text in texts(panel, curves))


@pytest.mark.parametrize(
    ("unit", "largest", "text"),
    [
        ("s", 0.25, "250 ms"),
        ("s", 0.0, "0 s"),
        ("s", 90.0, "1.5 min"),
        ("percentunit", 0.5, "50%"),
        ("reqps", 0.4, "0.4 req/s"),
        ("bytes", 1.5 * 2**30, "1.5 GiB"),
        ("Bps", 2e6, "2 MB/s"),
        ("short", 12.0, "12"),
        ("short", 1_200.0, "1.2 K"),
    ],
)
def test_values_are_in_the_units_that_grafana_writes(unit: str, largest: float, text: str) -> None:
    scale = scale_of(unit, largest)
    assert scale.text(largest / scale.size) == text


def test_every_unit_of_a_dashboard_is_known() -> None:
    for page in DASHBOARDS:
        for panel in page.panels:
            scale_of(panel.unit, 1.0)


def test_the_time_axis_has_round_moments() -> None:
    assert [text for _, text in ticks(HOUR)][:3] == ["07:00", "07:10", "07:20"]
    days = Window(end=HOUR.end, seconds=3 * 86_400)
    assert [text for _, text in ticks(days)][:2] == ["12 Jan 12:00", "13 Jan 00:00"]
    assert interval_text(HOUR) == "15 January 2027, 07:00 to 08:00 UTC"
    assert interval_text(days) == "12 January 2027, 08:00 to 15 January 2027, 08:00 UTC"


@pytest.fixture
def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """An address, and what `/api/v1/query_range` answers there by query; 400 to any other."""
    said: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (query,) = parse_qs(urlsplit(self.path).query)["query"]
            self.send_response(200 if query in said else 400)
            self.end_headers()
            self.wfile.write(json.dumps(said.get(query, {"error": "parse error"})).encode())

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield address(LOOPBACK, server.server_port), said
        server.shutdown()


def matrix(labels: Mapping[str, str], values: list[tuple[float, str]]) -> dict[str, Any]:
    return {"data": {"resultType": "matrix", "result": [{"metric": labels, "values": values}]}}


def test_moments_without_a_value_are_gaps(answers: tuple[str, dict[str, Any]]) -> None:
    url, said = answers
    window = Window(end=1_000, seconds=40, steps=4)
    said["up"] = matrix({"job": "toy"}, [(960, "1"), (980, "NaN"), (990, "+Inf"), (1_000, "4")])
    (found,) = History(url).series("up", window)
    assert found.labels == {"job": "toy"}
    np.testing.assert_array_equal(found.values, [1, np.nan, np.nan, np.nan, 4])


def test_a_refused_query_is_an_error_with_what_was_said(
    answers: tuple[str, dict[str, Any]],
) -> None:
    with pytest.raises(PrometheusError, match="parse error"):
        History(f"http://{answers[0]}/").series("up(", HOUR)


def test_what_is_no_prometheus_is_an_error(answers: tuple[str, dict[str, Any]]) -> None:
    url, said = answers
    said["up"] = ["something else"]
    with pytest.raises(PrometheusError, match="is no Prometheus"):
        History(url).series("up", HOUR)


def test_an_address_without_prometheus_ends_the_command_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no Prometheus answers at http://127\.0\.0\.1:1: "):
        main(["127.0.0.1:1", str(tmp_path / "pictures")])
    assert not (tmp_path / "pictures").exists()
