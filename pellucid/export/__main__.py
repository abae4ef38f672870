"""`python -m pellucid.export REPOSITORY [--force]`: build what is missing or stale."""

import argparse
import os
import sys
from pathlib import Path


def main() -> int:
    """Export every model of a repository; one line a model on standard output.

    Returns:
        0 if all are current now, 1 if one could not be exported.
    """
    parser = argparse.ArgumentParser(prog="python -m pellucid.export", description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--force", action="store_true", help="build even what is current")
    arguments = parser.parse_args()
    # Without this tensorflow greets everybody on standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pellucid.export import ExportError, export_model, is_current, model_folders

    failed = False
    for folder in model_folders(arguments.repository):
        try:
            if not arguments.force and is_current(folder):
                _say("current", folder.name)
                continue
            _say("building", folder.name)
            export_model(folder)
            _say("built", folder.name)
        except ExportError as error:
            failed = True
            _say("failed", folder.name, str(error))
    return int(failed)


def _say(*words: str) -> None:
    sys.stdout.write("\t".join(word.replace("\n", " ") for word in words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
