"""Whether services that call each other agree on TLS, and have the certificates that they name."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from tests.support import envoy_configuration
from tests.support.manifest_calls import peers
from tests.support.manifests import (
    SETTINGS,
    Document,
    container,
    of_kind,
    pod,
    setting,
    triton_option,
)

_SERVER: Final = ("TLS_CERTIFICATE", "TLS_KEY", "TLS_CLIENT_CA")
_TRITON: Final = ("grpc-server-cert", "grpc-server-key", "grpc-root-cert")
_FILES: Final = ("tls.crt", "tls.key", "ca.crt")
"""What cert-manager puts into a Secret: chain, key, and the authority that signed."""
_GROUP: Final = {"group": "cert-manager.io", "kind": "Issuer"}


def tls_problems(documents: Sequence[Document]) -> Iterator[str]:
    """What does not fit: callers, servers, files, names and usages."""
    encrypted = {name for name in (*SETTINGS, "triton") if _speaks_tls(documents, name)}
    for name in encrypted:
        yield from _server(documents, name)
    for caller, host, authority in _calls(documents):
        if (authority is not None) != (host in encrypted):
            speaks = "plain text" if authority is None else "TLS"
            yield f"{caller} calls {host} in {speaks}, which speaks the other"
        elif authority is not None:
            yield from _client(documents, caller, host)
    for name, certificate in of_kind(documents, "Certificate").items():
        yield from _certificate(documents, name, certificate["spec"])


def _speaks_tls(documents: Sequence[Document], name: str) -> bool:
    if name == "triton":
        # Without the first the others are ignored.
        options = ("grpc-use-ssl", "grpc-use-ssl-mutual")
        return any(triton_option(documents, one) == "true" for one in options)
    return setting(documents, name, "TLS_CERTIFICATE") is not None


def _calls(documents: Sequence[Document]) -> Iterator[tuple[str, str, str | None]]:
    """Caller, who is called, and the authority that the caller believes; None for plain text."""
    for caller in SETTINGS:
        for host, _ in peers(documents, caller):
            name = "TRITON_CA" if host == "triton" else "PEER_CA"
            yield caller, host, setting(documents, caller, name)
    if "edge" in of_kind(documents, "Deployment"):
        yield "edge", "gateway", envoy_configuration.trusted_authority(documents)


def _server(documents: Sequence[Document], name: str) -> Iterator[str]:
    """The three files of a server, in the order of `_FILES`; it wants its clients' too."""
    if name == "triton":
        named = [(f"--{one}", triton_option(documents, one)) for one in _TRITON]
        if triton_option(documents, "grpc-use-ssl-mutual") != "true":
            yield "triton: wants no certificate of its clients"
    else:
        named = [(one, setting(documents, name, one)) for one in _SERVER]
    yield from _mounted(documents, name, named)
    found = _certificate_of(documents, name)
    if "server auth" not in found.get("usages", []):
        yield f"{name}: its certificate is not for servers"


def _client(documents: Sequence[Document], caller: str, host: str) -> Iterator[str]:
    if caller != "edge":
        authority = "TRITON_CA" if host == "triton" else "PEER_CA"
        keys = ("PEER_CERTIFICATE", "PEER_KEY", authority)
        yield from _mounted(
            documents, caller, [(key, setting(documents, caller, key)) for key in keys]
        )
    if "client auth" not in _certificate_of(documents, caller).get("usages", []):
        yield f"{caller}: its certificate is not for clients"
    if host not in _certificate_of(documents, host).get("dnsNames", []):
        yield f"{caller} calls {host}, whose certificate has another name"


def _mounted(
    documents: Sequence[Document], name: str, named: Sequence[tuple[str, str | None]]
) -> Iterator[str]:
    """Whether paths are those of the files of a Deployment's own Secret."""
    for (what, path), wanted in zip(named, _FILES, strict=True):
        if path is None:
            yield f"{name}: {what} is not set"
            continue
        secret = _secret_at(documents, name, str(PurePosixPath(path).parent))
        if secret != f"{name}-tls" or PurePosixPath(path).name != wanted:
            yield f"{name}: {what} is {path}, which is not {wanted} of {name}-tls"


def _secret_at(documents: Sequence[Document], name: str, folder: str) -> str | None:
    """The Secret that is mounted there, for reading alone and by the group alone."""
    mounts = [m for m in container(documents, name)["volumeMounts"] if m["mountPath"] == folder]
    volumes = {one["name"]: one for one in pod(documents, name)["volumes"]}
    for mount in mounts:
        secret: Any = volumes[mount["name"]].get("secret", {})
        if mount.get("readOnly") and secret.get("defaultMode") == 0o440 and "subPath" not in mount:
            return str(secret["secretName"])
    return None


def _certificate_of(documents: Sequence[Document], name: str) -> Any:
    """What fills the Secret of a Deployment; empty where nothing does."""
    certificates = [one["spec"] for one in of_kind(documents, "Certificate").values()]
    return next((one for one in certificates if one["secretName"] == f"{name}-tls"), {})


def _certificate(documents: Sequence[Document], name: str, spec: Document) -> Iterator[str]:
    issuers = of_kind(documents, "Issuer")
    issuer = spec["issuerRef"]
    if issuer["name"] not in issuers or issuer != _GROUP | {"name": issuer["name"]}:
        yield f"the certificate {name}: its issuer is not there"
        return
    source = issuers[issuer["name"]]["spec"]
    authorities = [
        one["spec"]["secretName"]
        for one in of_kind(documents, "Certificate").values()
        if one["spec"].get("isCA")
    ]
    if not spec.get("isCA") and source.get("ca", {}).get("secretName") not in authorities:
        yield f"the certificate {name}: is signed by no authority"
    left, length = _hours(spec["renewBefore"]), _hours(spec["duration"])
    if not length <= left * 3 < length * 3 and not spec.get("isCA"):
        # What Triton reads once, when it starts, has to last.
        yield f"the certificate {name}: is renewed {left} h before the end of {length} h"


def _hours(text: str) -> int:
    assert text.endswith("h"), text
    return int(text[:-1])
