"""Envoy's files as the manifests mount them, and what in them does not fit the gateway."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from gateway.settings import GatewaySettings
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.embedded.health import HEALTH_SERVICES
from pellucid.serving.channels import KEEPALIVE_MS
from tests.support.manifests import Document, container, of_kind, pod, setting

FOLDER: Final = "/etc/envoy/"
CLIENT_HEADER: Final = "x-envoy-external-address"
"""What Envoy sets to a client's address."""
_SERVICE: Final = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
_FRAME: Final = 5
"""Bytes before a message of gRPC."""
_GOAWAY_S: Final = 5
"""What Envoy gives a connection that it asks to go (`drain_timeout`)."""
_LOGGED: Final = {
    *("START_TIME", "ROUTE_NAME", "GRPC_STATUS", "DURATION", "BYTES_RECEIVED", "BYTES_SENT"),
    *("RESPONSE_FLAGS", "UPSTREAM_HOST", "TRAILER(x-request-id)"),
}
"""What says nothing of a client, and nothing that a client chose."""


def texts(documents: Sequence[Document]) -> dict[str, str]:
    """Content of each file that is mounted from the ConfigMap, by its name in `FOLDER`."""
    volumes = {one["name"]: one for one in pod(documents, "edge")["volumes"]}
    maps = of_kind(documents, "ConfigMap")
    found = {}
    for mount in container(documents, "edge")["volumeMounts"]:
        source = volumes[mount["name"]].get("configMap")
        if source is not None:
            content = maps[source["name"]]["data"].get(mount["subPath"])
            assert content is not None, f"{mount['subPath']} is not in the ConfigMap"
            found[mount["mountPath"].removeprefix(FOLDER)] = content
    return found


def files(documents: Sequence[Document]) -> dict[str, Any]:
    """The same, read."""
    return {name: yaml.safe_load(text) for name, text in texts(documents).items()}


def listening(documents: Sequence[Document]) -> dict[str, int]:
    """The port of each listener, by the name that the Deployment has for it."""
    read = files(documents)
    listeners = [*read["envoy.yaml"]["static_resources"]["listeners"], public_listener(read)]
    found = {one["name"]: one["address"]["socket_address"]["port_value"] for one in listeners}
    return {"grpc": found.pop("public"), **found}


def upstreams(documents: Sequence[Document]) -> set[tuple[str, int]]:
    """Host and port of what Envoy calls outside its pod: gateways, and their health."""
    places = [place for one in clusters(files(documents)) for place in _endpoints(one)]
    return {(host, port) for host, *both in places for port in both}


def trusted_authority(documents: Sequence[Document]) -> str | None:
    """Whom Envoy believes about the gateway's certificate; None where it calls in plain text."""
    read = files(documents)
    if all("transport_socket" not in one for one in clusters(read)):
        return None
    (secret,) = read["gateway-trust.yaml"]["resources"]
    return str(secret["validation_context"]["trusted_ca"]["filename"])


def public_listener(read: dict[str, Any]) -> Any:
    """The listener of clients."""
    (found,) = read["listener.yaml"]["resources"]
    return found


def connection_manager(read: dict[str, Any]) -> Any:
    """What handles HTTP/2 on that listener."""
    (chain,) = public_listener(read)["filter_chains"]
    (found,) = chain["filters"]
    return found["typed_config"]


def routes(read: dict[str, Any]) -> Any:
    """The public calls."""
    (configuration,) = read["routes.yaml"]["resources"]
    (host,) = configuration["virtual_hosts"]
    return host["routes"]


def clusters(read: dict[str, Any]) -> Any:
    """The groups of gateways."""
    return read["clusters.yaml"]["resources"]


def problems(documents: Sequence[Document]) -> Iterator[str]:
    """What does not fit; nothing where there is no Envoy."""
    if "edge" not in of_kind(documents, "Deployment"):
        return
    read = files(documents)
    if read["envoy.yaml"]["admin"]["address"]["socket_address"]["address"] != "127.0.0.1":
        yield "edge: its admin interface is not on loopback alone"
    if setting(documents, "gateway", "CLIENT_HEADER") != CLIENT_HEADER:
        yield "edge: quotas take it for one client"
    if connection_manager(read).get("use_remote_address") is not True:
        yield "edge: clients choose what address they have"
    for path in sorted(set(_named_files(read)) - _mounted(documents)):
        yield f"edge: {path} is not mounted"
    yield from _routes(documents, read)
    yield from _clusters(documents, read)
    yield from _limits(documents, read)
    for field, form in _access_log(read).items():
        for operator in re.findall("%(.*?)%", form):
            if operator not in _LOGGED:
                yield f"edge: logs {operator} as {field}"


def _named_files(value: Any) -> Iterator[str]:
    """Paths that a file of Envoy's names."""
    if isinstance(value, list):
        for one in value:
            yield from _named_files(one)
    if isinstance(value, dict):
        for key, one in value.items():
            if key in ("path_config_source", "watched_directory"):
                yield one["path"]
            elif key == "filename":
                yield one
            else:
                yield from _named_files(one)


def _mounted(documents: Sequence[Document]) -> set[str]:
    """Paths that are there: mounts, and the files of a Secret of TLS in them."""
    secrets = {one["name"] for one in pod(documents, "edge")["volumes"] if "secret" in one}
    found = set()
    for one in container(documents, "edge")["volumeMounts"]:
        found.add(one["mountPath"])
        if one["name"] in secrets:
            found |= {f"{one['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")}
    return found


def _routes(documents: Sequence[Document], read: dict[str, Any]) -> Iterator[str]:
    wanted = {one.name: f"/{_SERVICE.full_name}/{one.name}" for one in _SERVICE.methods}
    found = {one["name"]: one["match"].get("path") for one in routes(read)}
    if found != wanted:
        yield f"edge: routes {found}, the contract has {wanted}"
    streaming = {one.name for one in _SERVICE.methods if one.server_streaming}
    policies = {one["name"]: one["lb_policy"] for one in clusters(read)}
    longest = _setting(documents, "max_deadline_s")
    for one in routes(read):
        policy = policies.get(one["route"]["cluster"])
        if policy != ("LEAST_REQUEST" if one["name"] in streaming else "ROUND_ROBIN"):
            yield f"edge: {one['name']} is balanced by {policy}"
        if seconds(one["route"]["timeout"]) <= longest:
            yield f"edge: {one['name']} is cut after {one['route']['timeout']}"
    silent = seconds(connection_manager(read)["stream_idle_timeout"])
    if silent <= longest:
        yield f"edge: a call that is silent for {silent} s is cut"


def _clusters(documents: Sequence[Document], read: dict[str, Any]) -> Iterator[str]:
    ports = [int(setting(documents, "gateway", key) or 0) for key in ("PORT", "HEALTH_PORT")]
    for one in clusters(read):
        if _endpoints(one) != [("gateway", *ports)]:
            yield f"edge: {one['name']} is at {_endpoints(one)}, the gateway listens on {ports}"
        (check,) = one["health_checks"]
        if check["grpc_health_check"] != {"service_name": HEALTH_SERVICES["gateway"]}:
            yield f"edge: {one['name']} asks for the health of another service"
        notices = check["unhealthy_threshold"] * seconds(check["interval"])
        if notices >= float(setting(documents, "gateway", "DRAIN_S") or 0):
            yield f"edge: {one['name']} notices after {notices} s that a gateway drains"
        if "transport_socket" in one and "transport_socket_match_criteria" not in check:
            yield f"edge: {one['name']} asks for health in TLS"
        (protocol,) = one["typed_extension_protocol_options"].values()
        http2 = protocol["explicit_http_config"]["http2_protocol_options"]
        if seconds(http2["connection_keepalive"]["interval"]) * 1000 < KEEPALIVE_MS / 2:
            yield f"edge: {one['name']} pings more often than gateways allow"


def _limits(documents: Sequence[Document], read: dict[str, Any]) -> Iterator[str]:
    manager = connection_manager(read)
    filters = {one["name"]: one["typed_config"] for one in manager["http_filters"]}
    largest = _setting(documents, "max_request_bytes") + _FRAME
    if filters["body_size_limit"]["max_request_bytes"] != largest:
        yield f"edge: the largest request is not of {largest:.0f} bytes"
    own = container(documents, "edge")
    monitors = read["envoy.yaml"]["overload_manager"]["resource_monitors"]
    heap = next(one["typed_config"] for one in monitors if one["name"].endswith("fixed_heap"))
    memory = own["resources"]["limits"]["memory"]
    if heap["max_heap_size_bytes"] >= int(memory.removesuffix("Mi")) << 20:
        yield "edge: may use more memory than its limit"
    pause = own["lifecycle"]["preStop"]["sleep"]["seconds"]
    age = seconds(manager["common_http_protocol_options"]["max_connection_duration"])
    needed = age + _GOAWAY_S + float(setting(documents, "gateway", "GRACE_S") or 0)
    if pause < needed:
        yield f"edge: ends after {pause} s, its last connections after {needed}"


def _endpoints(cluster: Any) -> list[tuple[str, int, int]]:
    found = []
    for group in cluster["load_assignment"]["endpoints"]:
        for one in group["lb_endpoints"]:
            endpoint = one["endpoint"]
            place = endpoint["address"]["socket_address"]
            health = endpoint["health_check_config"]["port_value"]
            found.append((place["address"], place["port_value"], health))
    return found


def _access_log(read: dict[str, Any]) -> dict[str, str]:
    (log,) = connection_manager(read)["access_log"]
    return dict(log["typed_config"]["log_format"]["json_format"])


def _setting(documents: Sequence[Document], name: str) -> float:
    """A number among the gateway's settings, as its ConfigMap or its default has it."""
    given = setting(documents, "gateway", name.upper())
    return float(given or GatewaySettings.model_fields[name].default)


def seconds(duration: str) -> float:
    """The number in `930s`."""
    assert duration.endswith("s"), duration
    return float(duration[:-1])
