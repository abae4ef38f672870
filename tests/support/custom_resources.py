"""Schemas of other people's resources, of the fields that our manifests use.

Written by hand from what cert-manager, KEDA and the Prometheus operator publish, as no package has
them: what is not named here may exist, but nobody has looked it up.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema

from tests.support.manifests import Document


def _fields(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_TEXT: Final = {"type": "string", "minLength": 1}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_HOURS: Final = {"type": "string", "pattern": "^[0-9]+h$"}
_QUOTED_NUMBER: Final = {"type": "string", "pattern": "^[0-9.]+$"}
_QUOTED_BOOLEAN: Final = {"enum": ["true", "false"]}

_ISSUER: Final = {
    "oneOf": [
        _fields("selfSigned", selfSigned=_fields()),
        _fields("ca", ca=_fields("secretName", secretName=_TEXT)),
    ]
}
_CERTIFICATE: Final = _fields(
    "secretName issuerRef",
    secretName=_TEXT,
    issuerRef=_fields("name", group=_TEXT, kind={"enum": ["Issuer", "ClusterIssuer"]}, name=_TEXT),
    isCA={"type": "boolean"},
    commonName={"type": "string", "maxLength": 64},
    dnsNames=_list(_TEXT),
    usages=_list({"enum": ["digital signature", "key encipherment", "server auth", "client auth"]}),
    duration=_HOURS,
    renewBefore=_HOURS,
    privateKey=_fields(
        algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
        size={"enum": [256, 384, 521]},
        encoding={"enum": ["PKCS1", "PKCS8"]},
        rotationPolicy={"enum": ["Never", "Always"]},
    ),
)
_SCALING: Final = _fields(
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies=_list(
        _fields(
            "type value periodSeconds",
            type={"enum": ["Pods", "Percent"]},
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        )
    ),
)
_SCALED_OBJECT: Final = _fields(
    "scaleTargetRef triggers",
    scaleTargetRef=_fields("name", name=_TEXT),
    pollingInterval=_NUMBER,
    minReplicaCount=_NUMBER,
    maxReplicaCount=_NUMBER,
    advanced=_fields(
        horizontalPodAutoscalerConfig=_fields(
            behavior=_fields(scaleUp=_SCALING, scaleDown=_SCALING),
        )
    ),
    triggers=_list(
        _fields(
            "type metadata",
            type={"const": "prometheus"},
            metadata=_fields(
                "serverAddress query threshold",
                serverAddress={"type": "string", "pattern": "^https?://"},
                query=_TEXT,
                # Values of a trigger are strings, whatever they stand for.
                threshold=_QUOTED_NUMBER,
                ignoreNullValues=_QUOTED_BOOLEAN,
            ),
        )
    ),
)
_POD_MONITOR: Final = _fields(
    "selector podMetricsEndpoints",
    jobLabel=_TEXT,
    selector=_fields(
        matchExpressions=_list(_fields(key=_TEXT, operator=_TEXT, values=_list(_TEXT)))
    ),
    podMetricsEndpoints=_list(
        _fields("port", port=_TEXT, interval={"type": "string", "pattern": "^[0-9]+s$"})
    ),
)

SPECS: Final[Mapping[tuple[str, str], Any]] = {
    ("cert-manager.io/v1", "Issuer"): _ISSUER,
    ("cert-manager.io/v1", "Certificate"): _CERTIFICATE,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED_OBJECT,
    ("monitoring.coreos.com/v1", "PodMonitor"): _POD_MONITOR,
}
"""By version and kind."""


def is_custom(document: Document) -> bool:
    """Whether Kubernetes itself has no such kind."""
    return (document["apiVersion"], document["kind"]) in SPECS


def validate(document: Document) -> None:
    """Hold the specification of a custom resource against its schema.

    Raises:
        jsonschema.ValidationError: it does not fit.
    """
    jsonschema.validate(document["spec"], SPECS[document["apiVersion"], document["kind"]])
