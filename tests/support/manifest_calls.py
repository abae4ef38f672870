"""Who calls whom, and whom the network policies let through."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from tests.support import envoy_configuration
from tests.support.manifests import (
    SETTINGS,
    Document,
    container,
    environment,
    of_kind,
    ports,
    setting,
)

CLIENT: Final = "pellucid.io/client"


class Call(NamedTuple):
    """A connection: from whom, to whom, to which port."""

    source: str
    target: str
    port: int


class _Pod(NamedTuple):
    namespace: str
    labels: Mapping[str, str]


_OTHERS: Final = {
    # As they are in other people's namespaces: nothing of ours is on them but what clients declare.
    "client": _Pod("clients", {CLIENT: "true"}),
    "dns": _Pod("kube-system", {"k8s-app": "kube-dns"}),
    "prometheus": _Pod("monitoring", {}),
    "collector": _Pod("observability", {}),
    "stranger": _Pod("strangers", {}),
}
_ANYONE: Final = "anyone"
"""Who a rule without peers lets through."""


def call_problems(documents: Sequence[Document]) -> Iterator[str]:
    """Calls that are made are allowed at both ends, and no others."""
    policies = [one["spec"] for one in of_kind(documents, "NetworkPolicy").values()]
    denials = [one for one in policies if not one.get("ingress") and not one.get("egress")]
    if not any(
        one["podSelector"] == {} and set(one["policyTypes"]) == {"Ingress", "Egress"}
        for one in denials
    ):
        yield "what no policy names is not denied"
    made = made_calls(documents)
    if len(set(_collectors(documents).values())) > 1:
        yield "traces are sent to several collectors, which have a part of each"
    into, out = _allowed(documents, policies)
    for ways, end in ((into, "enter"), (out, "leave")):
        inside = {call for call in made if _is_ours(documents, call, end)}
        for call in sorted(inside - ways):
            yield f"{call.source} calls {call.target}:{call.port}, which may not {end}"
        for call in sorted(ways - inside):
            yield f"{call.source} may {end} to {call.target}:{call.port}, which nobody calls"


def made_calls(documents: Sequence[Document]) -> set[Call]:
    """The calls of services, of their clients, of Prometheus where it scrapes, and for names."""
    names = of_kind(documents, "Deployment")
    made = {Call("client", "gateway", int(setting(documents, "gateway", "PORT") or 0))}
    made |= {Call(name, "dns", 53) for name in names}
    for service in SETTINGS:
        made |= {Call(service, host, port) for host, port in peers(documents, service)}
    if of_kind(documents, "PodMonitor"):
        made |= {
            Call("prometheus", name, declared["metrics"])
            for name in names
            if "metrics" in (declared := ports(documents, name))
        }
    made |= {Call("gateway", host, port) for host, port in stores(documents)}
    made |= {
        Call(name, "collector", port)
        for name, place in _collectors(documents).items()
        if (port := place.port)
    }
    if "edge" in names:
        made.add(Call(_ANYONE, "edge", envoy_configuration.listening(documents)["grpc"]))
        made |= {Call("edge", *place) for place in envoy_configuration.upstreams(documents)}
    return made


def peers(documents: Sequence[Document], service: str) -> Iterator[tuple[str, int]]:
    """Host and port of what a service calls."""
    for name, value in environment(documents, service).items():
        if name.endswith("_URL"):
            host, _, port = value.removeprefix("dns:///").rpartition(":")
            yield host, int(port)


def stores(documents: Sequence[Document]) -> Iterator[tuple[str, int]]:
    """Host and port of where quotas are counted, unless each gateway counts for itself."""
    if store := setting(documents, "gateway", "QUOTA_STORE"):
        place = urlsplit(store)
        yield str(place.hostname), place.port or 0


def _collectors(documents: Sequence[Document]) -> dict[str, SplitResult]:
    """Where traces are sent, by service."""
    places = {service: setting(documents, service, "TRACES_ENDPOINT") for service in SETTINGS}
    prefix = "--trace-config=opentelemetry,url="
    for argument in container(documents, "triton")["args"]:
        if argument.startswith(prefix):
            places["triton"] = argument.removeprefix(prefix)
    return {name: urlsplit(place) for name, place in places.items() if place}


def _is_ours(documents: Sequence[Document], call: Call, end: str) -> bool:
    """Whether the pod at this end of a call is under our policies."""
    return (call.target if end == "enter" else call.source) in of_kind(documents, "Deployment")


def _allowed(
    documents: Sequence[Document], policies: Sequence[Document]
) -> tuple[set[Call], set[Call]]:
    """What may enter our pods, and what may leave them."""
    into: set[Call] = set()
    out: set[Call] = set()
    ours = _pods(documents)
    for spec in policies:
        selected = [name for name, one in ours.items() if _matches(spec["podSelector"], one.labels)]
        for name in selected:
            for rule in spec.get("ingress", []):
                for peer in _peers(rule.get("from"), ours, ours[name].namespace):
                    into |= {Call(peer, name, port) for port in _ports(documents, rule, name)}
            for rule in spec.get("egress", []):
                for peer in _peers(rule.get("to"), ours, ours[name].namespace):
                    out |= {Call(name, peer, port) for port in _ports(documents, rule, peer)}
    return into, out


def _ports(documents: Sequence[Document], rule: Document, target: str) -> set[int]:
    """The ports of a rule at which the target listens."""
    named = {port["port"] for port in rule["ports"]}
    is_ours = target in of_kind(documents, "Deployment")
    return named & set(ports(documents, target).values()) if is_ours else named


def _pods(documents: Sequence[Document]) -> dict[str, _Pod]:
    return {
        name: _Pod(one["metadata"]["namespace"], one["spec"]["template"]["metadata"]["labels"])
        for name, one in of_kind(documents, "Deployment").items()
    }


def _peers(
    selectors: Sequence[Document] | None, ours: Mapping[str, _Pod], namespace: str
) -> Iterator[str]:
    if not selectors:
        yield _ANYONE
        return
    for name, one in {**ours, **_OTHERS}.items():
        for selector in selectors:
            where = selector.get("namespaceSelector")
            here = {"kubernetes.io/metadata.name": one.namespace}
            is_there = one.namespace == namespace if where is None else _matches(where, here)
            if is_there and _matches(selector.get("podSelector", {}), one.labels):
                yield name


def _matches(selector: Document, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects; of its expressions only `In` is known."""
    wanted: Any = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
    )
