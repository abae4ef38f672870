"""The two streams that the command prints to."""

import json

import typer
from rich.console import Console

stdout = Console(highlight=False)
"""The response, and nothing else."""
stderr = Console(stderr=True, highlight=False)
"""Progress, hints and errors, for people."""


def print_json(value: object) -> None:
    """Print what the client returned as JSON."""
    from pellucid.rendering.summary import plain

    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))
