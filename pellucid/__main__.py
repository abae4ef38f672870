"""The `pellucid` command, also as `python -m pellucid`."""

import sys


def main() -> None:
    """Run the command; where its packages are missing, say what brings them."""
    try:
        from pellucid.cli import app
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed; `pip install 'pellucid[cli]'` brings the command")
    app()


if __name__ == "__main__":
    main()
