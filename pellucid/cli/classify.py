"""`pellucid capabilities` and `pellucid classify`."""

from typing import Annotated

import typer

from pellucid.cli import options
from pellucid.cli.connect import Server, with_server
from pellucid.cli.consoles import print_json


@with_server
def capabilities(
    server: Server,
    media_type: Annotated[
        str, typer.Option(help="Only models that accept this type, e.g. image/png.")
    ] = "",
    as_json: options.Json = False,
    deadline: options.Deadline = None,
) -> None:
    """Say which models are served, and which methods explain them."""
    with server.client(as_json=as_json) as client:
        found = client.capabilities(media_type, deadline=deadline)
        if as_json:
            print_json(found)
        else:
            from pellucid.cli.tables import show_capabilities

            show_capabilities(found)


@with_server
def classify(
    server: Server,
    file: options.File,
    model: options.Model = None,
    operating_point: options.OperatingPoint = None,
    refuse_unlike: options.RefuseUnlike = False,
    as_json: options.Json = False,
    deadline: options.Deadline = None,
) -> None:
    """Classify one file."""
    with server.client(as_json=as_json) as client:
        found = client.classify(
            file,
            model,
            operating_point=operating_point,
            refuse_out_of_distribution=refuse_unlike,
            deadline=deadline,
        )
        if as_json:
            print_json(found)
        else:
            from pellucid.cli.tables import show_prediction

            show_prediction(found)
