"""How services are started: where they listen, and how those that speak TLS are checked."""

from pathlib import Path

import pytest

from pellucid.client import Tls
from pellucid.embedded.environment import TritonEnvironment
from pellucid.embedded.errors import MissingPrerequisite
from pellucid.embedded.service_plans import ServicePlan, plan_services, wanted_ports
from pellucid.embedded.settings import SystemSettings

PORTS = {"preprocess": 1, "preprocess_metrics": 2}


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
    assert plans["preprocess"].command.variables["PELLUCID_PREPROCESS_HOST"] == "127.0.0.1"
    assert plans["explain"].command.variables["PELLUCID_EXPLAIN_HOST"] == "127.0.0.1"
    assert plans["gateway"].command.variables["PELLUCID_GATEWAY_HOST"] == "192.0.2.1"


def test_without_prometheus_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = SystemSettings(services=("prometheus", "preprocess"), state_dir=tmp_path)
    ports = {purpose: number for number, purpose in enumerate(wanted_ports(settings), 1)}
    with pytest.raises(MissingPrerequisite, match="apt install prometheus"):
        plan_services(settings, None, ports)


def test_triton_serves_this_machine_alone_and_no_http(tmp_path: Path) -> None:
    arguments = planned(tmp_path, "0.0.0.0")["triton"].command.arguments
    assert {"--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"} < {*arguments}
    assert [words for words in arguments if "http" in words] == ["--allow-http=false"]


def test_every_port_but_the_gateways_is_of_this_machine_alone() -> None:
    settings = SystemSettings(host="192.0.2.1", gateway_port=7, ports={"triton": 8, "gateway": 9})
    wanted = wanted_ports(settings)
    assert wanted["triton"] == ("127.0.0.1", 8)
    assert wanted["explain_metrics"] == ("127.0.0.1", 0)
    assert wanted["gateway"] == ("192.0.2.1", 9)


def test_the_urls_of_an_ipv6_host_have_brackets(tmp_path: Path) -> None:
    plans = planned(tmp_path, "::1")
    number = plans["gateway"].command.variables["PELLUCID_GATEWAY_PORT"]
    assert plans["gateway"].url == f"[::1]:{number}"
    assert plans["gateway"].metrics_url.startswith("http://[::1]:")


def test_the_services_behind_the_gateway_are_called_where_they_listen(tmp_path: Path) -> None:
    plans = planned(tmp_path, "0.0.0.0")
    variables = plans["gateway"].command.variables
    assert variables["PELLUCID_GATEWAY_TRITON_URL"] == plans["triton"].url
    assert variables["PELLUCID_GATEWAY_PREPROCESS_URL"] == plans["preprocess"].url
    assert variables["PELLUCID_GATEWAY_EXPLAIN_URL"] == plans["explain"].url


@pytest.mark.parametrize("variable", ["PELLUCID_PREPROCESS_HOST", "pellucid_preprocess_host"])
def test_no_variable_moves_a_service_to_another_address(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PELLUCID_PREPROCESS_HOST", "0.0.0.0")
    monkeypatch.setenv(variable, "0.0.0.0")
    variables = planned(tmp_path, "127.0.0.1")["preprocess"].command.variables
    hosts = [value for key, value in variables.items() if key.upper() == "PELLUCID_PREPROCESS_HOST"]
    assert hosts == ["127.0.0.1"]


def test_only_a_service_with_a_certificate_of_its_own_is_checked_by_tls(tmp_path: Path) -> None:
    tls = Tls(ca=tmp_path / "ca.pem")
    plain = SystemSettings(services=("preprocess",), tls=tls)
    own = tmp_path / "own.pem"
    own.touch()
    certificate = {"PELLUCID_PREPROCESS_TLS_CERTIFICATE": str(own)}
    encrypted = plain.model_copy(update={"variables": certificate})
    alone = encrypted.model_copy(update={"tls": None})
    plans = [plan_services(settings, None, PORTS)[0] for settings in (plain, encrypted, alone)]
    assert [plan.tls for plan in plans] == [None, tls, Tls(ca=own)]


@pytest.mark.parametrize("missing", ["CERTIFICATE", "KEY", "CLIENT_CA"])
def test_a_file_of_tls_that_is_not_there_is_named_before_anything_starts(
    tmp_path: Path, missing: str
) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    keys = ("CERTIFICATE", "KEY", "CLIENT_CA")
    paths = {f"PELLUCID_PREPROCESS_TLS_{key}": str(there) for key in keys}
    paths[f"PELLUCID_PREPROCESS_TLS_{missing}"] = str(tmp_path / "nope.pem")
    settings = SystemSettings(services=("preprocess",), variables=paths)
    with pytest.raises(
        MissingPrerequisite, match=f"PELLUCID_PREPROCESS_TLS_{missing} names .*nope.pem"
    ):
        plan_services(settings, None, PORTS)


def test_a_service_that_wants_our_certificate_is_not_started_without_one(tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    paths = {
        f"PELLUCID_PREPROCESS_TLS_{key}": str(there) for key in ("CERTIFICATE", "KEY", "CLIENT_CA")
    }
    settings = SystemSettings(services=("preprocess",), variables=paths)
    with pytest.raises(MissingPrerequisite, match="--cert and --key"):
        plan_services(settings, None, PORTS)
