"""`python parent_death.py PARENT COMMAND...`: become COMMAND, and get SIGTERM when PARENT dies.

A small program of its own, because `preexec_fn` forks the supervisor's threads and gRPC's locks
with it. It runs with `-I -S` and therefore imports nothing but the standard library.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGTERM at the death of the parent, and become the command."""
    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # The parent died before the kernel was asked.
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
