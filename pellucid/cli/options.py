"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

_CONNECTION = "Connection"

Url = Annotated[
    str | None,
    typer.Option(
        envvar="PELLUCID_URL",
        help="host:port of the gateway; by default that of the system running here, "
        "else localhost:50050.",
        rich_help_panel=_CONNECTION,
    ),
]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="PELLUCID_TLS",
        help="Encrypt; --ca implies it.",
        rich_help_panel=_CONNECTION,
    ),
]
Plaintext = Annotated[
    bool,
    typer.Option(
        "--plaintext",
        envvar="PELLUCID_PLAINTEXT",
        help="Talk to another machine without encryption.",
        rich_help_panel=_CONNECTION,
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        envvar="PELLUCID_CA",
        help="PEM authorities that the server's certificate comes from.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_CONNECTION,
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        envvar="PELLUCID_CERT",
        help="PEM certificate of this client (mTLS).",
        exists=True,
        dir_okay=False,
        rich_help_panel=_CONNECTION,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        envvar="PELLUCID_KEY",
        help="PEM key that goes with --cert.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_CONNECTION,
    ),
]
Deadline = Annotated[
    float | None,
    typer.Option(help="Seconds for the whole call; by default 300, to explain 900.", min=0.001),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON to standard output, and nothing else."),
]
Model = Annotated[
    str | None,
    typer.Option(help="By default the one that accepts files of this type, where it is the only."),
]
OperatingPoint = Annotated[
    str | None,
    typer.Option(
        help="Whose thresholds decide what is present, e.g. sensitive. "
        "By default the first that `pellucid capabilities` lists for the model."
    ),
]
RefuseUnlike = Annotated[
    bool,
    typer.Option(
        "--refuse-unlike", help="Fail where the file is unlike the model's training data."
    ),
]
File = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, readable=True, help="A picture or a recording.", metavar="FILE"
    ),
]
StateDir = Annotated[
    Path,
    typer.Option(
        envvar="PELLUCID_STATE_DIR",
        help="Folder of the system's state and logs; another folder, another system.",
    ),
]
DEFAULT_STATE_DIR = Path(".pellucid")
