"""Finds the server and opens a client."""

import functools
import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pellucid.cli import options
from pellucid.cli.exits import reported

if TYPE_CHECKING:
    from pellucid.client import Client, Tls

_ENCRYPTED = "a system runs here: check it with `pellucid status`; if it speaks TLS, give --ca"
_START = "no system runs here: start one with `pellucid up --detach`, or give --url"


@dataclass(frozen=True)
class Server:
    """Where to connect; its fields are the options of every command that does."""

    url: options.Url = None
    tls: options.Tls = False
    plaintext: options.Plaintext = False
    ca: options.Ca = None
    certificate: options.Certificate = None
    key: options.Key = None

    def encryption(self) -> "Tls | None":
        """How to encrypt; None for plaintext.

        Raises:
            typer.BadParameter: only one of certificate and key is given.
        """
        from pellucid.client import Tls

        if (self.certificate is None) != (self.key is None):
            raise typer.BadParameter("--cert and --key go together")
        encrypted = self.tls or self.ca is not None or self.certificate is not None
        # A system that is started keeps these paths, and may be reached from another folder.
        ca, certificate, key = (
            None if path is None else path.absolute()
            for path in (self.ca, self.certificate, self.key)
        )
        return Tls(ca=ca, certificate=certificate, key=key) if encrypted else None

    @contextmanager
    def client(self, *, as_json: bool) -> Iterator["Client"]:
        """A client whose errors end the command with words and an exit code.

        Raises:
            typer.BadParameter: the options contradict each other, or leave open how to encrypt.
        """
        from pellucid.client import Client  # gRPC takes a moment to load
        from pellucid.client.connection import DEFAULT_URL, is_local

        local = None if self.url else running_url()
        url, tls = self.url or local or DEFAULT_URL, self.encryption()
        if self.plaintext and tls is not None:
            raise typer.BadParameter("--plaintext and --tls, --ca, --cert exclude each other")
        # A system that runs here is on this machine, whatever address it listens on.
        plaintext = self.plaintext or (tls is None and local is not None)
        if tls is None and not plaintext and not is_local(url):
            raise typer.BadParameter(
                f"{url} is another machine: give --tls or --ca, or --plaintext on a network where "
                "everyone may read along"
            )
        hint = "" if self.url else _ENCRYPTED if local else _START
        with (
            reported(as_json=as_json, hint=hint),
            Client(url, tls=tls, plaintext=plaintext) as client,
        ):
            yield client


def with_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Server`; it is called with the server that they name."""
    own = inspect.signature(command).parameters.values()
    offered = inspect.signature(Server).parameters.values()

    @functools.wraps(command)
    def run(**given: Any) -> None:
        server = Server(**{option.name: given.pop(option.name) for option in offered})
        command(server=server, **given)

    taken = [*(option for option in own if option.name != "server"), *offered]
    run.__annotations__ = {option.name: option.annotation for option in taken}
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    return run


def running_url(state_dir: Path | None = None) -> str | None:
    """Address of the gateway of the system that runs here; None where none does."""
    folder = state_dir or Path(os.environ.get("PELLUCID_STATE_DIR", options.DEFAULT_STATE_DIR))
    try:
        record = json.loads((folder / "state.json").read_bytes())
        if not Path(f"/proc/{int(record['pid'])}").exists():
            return None
        services = {service["name"]: service["url"] for service in record["services"]}
        url = services.get("gateway")
        return str(url) if url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
