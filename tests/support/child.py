"""Processes of a test that end with it, however it ends."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pellucid.embedded import parent_death

_GUARD: Final = Path(parent_death.__file__)


def guarded(command: Sequence[str]) -> list[str]:
    """A command that gets SIGTERM when the thread is gone that starts it."""
    return [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *command]
