"""Where the services of an embedded system listen: the gateway is the only door."""

from pathlib import Path

import pytest

from pellucid.embedded.environment import TritonEnvironment
from pellucid.embedded.services import ServicePlan, plan_services, wanted_ports
from pellucid.embedded.settings import SystemSettings


def planned(tmp_path: Path, host: str) -> dict[str, ServicePlan]:
    settings = SystemSettings(repository=tmp_path, host=host)
    ports = {purpose: number for number, purpose in enumerate(wanted_ports(settings), 1)}
    plans = plan_services(settings, TritonEnvironment(tmp_path), ports)
    return {plan.name: plan for plan in plans}


def test_only_the_gateway_listens_on_the_host(tmp_path: Path) -> None:
    plans = planned(tmp_path, "192.0.2.1")
    hosts = {name: plan.url.rpartition(":")[0] for name, plan in plans.items()}
    assert hosts == {
        "triton": "127.0.0.1",
        "preprocess": "127.0.0.1",
        "explain": "127.0.0.1",
        "gateway": "192.0.2.1",
    }
    assert plans["preprocess"].command.variables["PREPROCESS_HOST"] == "127.0.0.1"
    assert plans["explain"].command.variables["EXPLAIN_HOST"] == "127.0.0.1"
    assert plans["gateway"].command.variables["GATEWAY_HOST"] == "192.0.2.1"


def test_triton_serves_this_machine_alone_and_no_http(tmp_path: Path) -> None:
    arguments = planned(tmp_path, "0.0.0.0")["triton"].command.arguments
    assert {"--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"} < {*arguments}
    assert [words for words in arguments if "http" in words] == ["--allow-http=false"]


def test_every_port_but_the_gateways_is_looked_for_on_this_machine_alone() -> None:
    settings = SystemSettings(host="192.0.2.1", gateway_port=7, ports={"triton": 8, "gateway": 9})
    wanted = wanted_ports(settings)
    assert wanted["triton"] == ("127.0.0.1", 8)
    assert wanted["explain_metrics"] == ("127.0.0.1", 0)
    assert wanted["gateway"] == ("192.0.2.1", 9)


def test_the_urls_of_an_ipv6_host_have_brackets(tmp_path: Path) -> None:
    plans = planned(tmp_path, "::1")
    number = plans["gateway"].command.variables["GATEWAY_PORT"]
    assert plans["gateway"].url == f"[::1]:{number}"
    assert plans["gateway"].metrics_url.startswith("http://[::1]:")


def test_the_services_behind_the_gateway_are_called_where_they_listen(tmp_path: Path) -> None:
    plans = planned(tmp_path, "0.0.0.0")
    variables = plans["gateway"].command.variables
    assert variables["GATEWAY_TRITON_URL"] == plans["triton"].url
    assert variables["GATEWAY_PREPROCESS_URL"] == plans["preprocess"].url
    assert variables["GATEWAY_EXPLAIN_URL"] == plans["explain"].url


@pytest.mark.parametrize("variable", ["PREPROCESS_HOST", "preprocess_host"])
def test_no_variable_moves_a_service_to_another_address(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPROCESS_HOST", "0.0.0.0")
    monkeypatch.setenv(variable, "0.0.0.0")
    variables = planned(tmp_path, "127.0.0.1")["preprocess"].command.variables
    hosts = [value for key, value in variables.items() if key.upper() == "PREPROCESS_HOST"]
    assert hosts == ["127.0.0.1"]
