"""`python -m pellucid.embedded SETTINGS`: a supervisor in the background, started by `up`."""

import asyncio
import sys

from pellucid.embedded.commands import run_until_signal
from pellucid.embedded.errors import EmbeddedError
from pellucid.embedded.settings import SystemSettings


def main() -> int:
    """Run the system that the settings, one JSON argument, describe."""
    settings = SystemSettings.model_validate_json(sys.argv[1])
    try:
        asyncio.run(run_until_signal(settings))
    except EmbeddedError:
        # Its event has been written, and is all there is to say.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
