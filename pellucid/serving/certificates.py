"""When the certificates that the settings name expire."""

import re
import ssl
from pathlib import Path
from typing import Final

import structlog
from pyasn1.codec.der.decoder import decode
from pyasn1_modules import rfc5280

from pellucid.serving import metrics
from pellucid.serving.settings import ServiceSettings

log = structlog.get_logger(__name__)

_CERTIFICATE: Final = re.compile(
    "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
_SETTINGS: Final = ("tls_certificate", "tls_client_ca", "peer_ca", "peer_certificate", "triton_ca")


def publish_expiry(settings: ServiceSettings) -> None:
    """Have the metrics say when each file of certificates expires; it is read at each scrape."""
    for setting in _SETTINGS:
        path: Path | None = getattr(settings, setting, None)
        if path is not None:
            metrics.CERTIFICATE_EXPIRY.labels(setting).set_function(_Expiry(path))


def expiry(pem: str) -> float:
    """When the first of some certificates expires, in seconds since 1970.

    Raises:
        ValueError: there is none, or one that cannot be read.
    """
    found = [_not_after(ssl.PEM_cert_to_DER_cert(one)) for one in _CERTIFICATE.findall(pem)]
    if not found:
        raise ValueError("no certificate")
    return min(found)


def _not_after(der: bytes) -> float:
    # `PyAsn1Error` is a ValueError only in name.
    try:
        certificate, _ = decode(der, asn1Spec=rfc5280.Certificate())
    except Exception as error:
        raise ValueError("no certificate") from error
    time = certificate["tbsCertificate"]["validity"]["notAfter"].getComponent()
    return float(time.asDateTime.timestamp())


class _Expiry:
    """Expiry of the certificates in a file as it is now; 0 where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> float:
        try:
            return expiry(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            log.warning("certificate cannot be read", path=str(self._path), why=str(error))
            return 0.0
