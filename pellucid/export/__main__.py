"""`python -m pellucid.export REPOSITORY [--force]`: build what is missing or stale."""

import argparse
import os
import sys
from pathlib import Path

_LONGEST_WORD = 1_000
"""Characters; a graph's checker may quote the graph."""


def main() -> int:
    """Export every model of a repository; a line or two a model on standard output.

    Returns:
        0 if all are current now, 1 if one could not be exported; that one is named in a line.
    """
    parser = argparse.ArgumentParser(prog="python -m pellucid.export", description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--force", action="store_true", help="build even what is current")
    arguments = parser.parse_args()
    # Without this tensorflow greets everybody on standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pellucid.export import model_folders

    # A list, so that every folder is tried.
    current = [_export(folder, arguments.force) for folder in model_folders(arguments.repository)]
    return int(not all(current))


def _export(folder: Path, force: bool) -> bool:
    from pellucid.export import ExportError, export_model, is_current

    try:
        if not force and is_current(folder):
            _say("current", folder.name)
            return True
        _say("building", folder.name)
        export_model(folder)
    except ExportError as error:
        _say("failed", folder.name, str(error))
        return False
    except Exception as error:
        # Frameworks raise what they like; the folders after this one are none the worse for it.
        _say("failed", folder.name, f"{type(error).__name__}: {error}")
        return False
    _say("built", folder.name)
    return True


def _say(*words: str) -> None:
    # Reasons may have lines and tabs of their own.
    sys.stdout.write("\t".join(" ".join(word.split())[:_LONGEST_WORD] for word in words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
