"""`pellucid capabilities` and `pellucid classify`."""

import json
from typing import Annotated

import typer

from pellucid.cli import options
from pellucid.cli.connect import Server


def capabilities(
    media_type: Annotated[
        str, typer.Option(help="Only models that accept this type, e.g. image/png.")
    ] = "",
    as_json: options.Json = False,
    deadline: options.Deadline = None,
    url: options.Url = None,
    tls: options.Tls = False,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Say which models are served, and which methods explain them."""
    with Server(url, tls, ca, certificate, key).client(as_json=as_json) as client:
        found = client.capabilities(media_type, deadline=deadline)
        if as_json:
            print_json(found)
        else:
            from pellucid.cli.tables import show_capabilities

            show_capabilities(found)


def classify(
    file: options.File,
    model: options.Model = None,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
    url: options.Url = None,
    tls: options.Tls = False,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
) -> None:
    """Classify one file."""
    with Server(url, tls, ca, certificate, key).client(as_json=as_json) as client:
        found = client.classify(file, model, deadline=deadline)
        if as_json:
            print_json(found)
        else:
            from pellucid.cli.tables import show_prediction

            show_prediction(found)


def print_json(value: object) -> None:
    """Print an answer of the client as JSON."""
    from pellucid.rendering.summary import plain

    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))
