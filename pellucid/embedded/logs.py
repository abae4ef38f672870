"""The logs of a system, one file a service."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pellucid.embedded.errors import NotRunning
from pellucid.embedded.log_rotation import rewind_if_truncated
from pellucid.embedded.state import StateFolder

_POLL_S = 0.2


def logs(
    state_dir: Path, service: str | None = None, *, follow: bool = False, lines: int = 50
) -> Iterator[str]:
    """Lines of the logs, without line ends.

    Args:
        state_dir: folder of the system, running or not.
        service: one service, or `supervisor`; all where absent, each line with its name first.
        follow: go on with what is written from now on, for ever.
        lines: of each log, how many of its last ones.

    Raises:
        NotRunning: there is no such log.
    """
    folder = StateFolder(state_dir)
    paths = sorted(folder.logs.glob(f"{service or '*'}.log"))
    if not paths:
        known = ", ".join(path.stem for path in sorted(folder.logs.glob("*.log"))) or "none"
        raise NotRunning(f"no log of {service or 'any service'} in {folder.logs}; there: {known}")
    prefix = {path: "" if service else f"{path.stem:<10} | " for path in paths}
    with ExitStack() as stack:
        files = {
            path: stack.enter_context(path.open(encoding="utf-8", errors="replace"))
            for path in paths
        }
        for path, file in files.items():
            for line in deque(file, maxlen=lines):
                yield prefix[path] + line.rstrip("\n")
        while follow:
            for file in files.values():
                rewind_if_truncated(file)
            fresh = [(path, line) for path, file in files.items() for line in file]
            yield from (prefix[path] + line.rstrip("\n") for path, line in fresh)
            if not fresh:
                time.sleep(_POLL_S)
