"""Finds the server and opens a client."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pellucid.cli.exits import reported
from pellucid.cli.options import DEFAULT_STATE_DIR

if TYPE_CHECKING:
    from pellucid.client import Client, Tls

_ENCRYPTED = "a system runs here: look at `pellucid status`; if it speaks TLS, give --ca"
_START = "no system answers here: start one with `pellucid up --detach`, or give --url"


@dataclass(frozen=True)
class Server:
    """Where to connect, as the options say it."""

    url: str | None
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None

    def encryption(self) -> "Tls | None":
        """How to encrypt; None for plain text.

        Raises:
            typer.BadParameter: only one of certificate and key is given.
        """
        from pellucid.client import Tls

        if (self.certificate is None) != (self.key is None):
            raise typer.BadParameter("--cert and --key go together")
        encrypted = self.tls or self.ca is not None or self.certificate is not None
        # A system that is started keeps these paths, and may be asked from another folder.
        ca, certificate, key = (
            None if path is None else path.absolute()
            for path in (self.ca, self.certificate, self.key)
        )
        return Tls(ca=ca, certificate=certificate, key=key) if encrypted else None

    @contextmanager
    def client(self, *, as_json: bool) -> Iterator["Client"]:
        """A client whose errors end the command with words and an exit code."""
        from pellucid.client import Client  # gRPC takes a moment to load

        tls = self.encryption()
        local = None if self.url else running_url()
        hint = "" if self.url else _ENCRYPTED if local else _START
        with (
            reported(as_json=as_json, hint=hint),
            Client(self.url or local or "localhost:50050", tls=tls) as client,
        ):
            yield client


def running_url(state_dir: Path | None = None) -> str | None:
    """Address of the gateway of the system that runs here; None where none does."""
    folder = state_dir or Path(os.environ.get("PELLUCID_STATE_DIR", DEFAULT_STATE_DIR))
    try:
        record = json.loads((folder / "state.json").read_bytes())
        if not Path(f"/proc/{int(record['pid'])}").exists():
            return None
        services = {service["name"]: service["url"] for service in record["services"]}
        url = services.get("gateway")
        return str(url) if url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
