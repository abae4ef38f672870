"""Addresses: free ports where 0 is asked, and the name of whoever holds one that was asked for."""

import contextlib
import errno
import socket
from collections.abc import Mapping

import psutil

from pellucid.embedded.errors import PortTaken, PortUnusable

LOOPBACK = "127.0.0.1"
"""Where everything listens that only this machine may reach."""


def resolve_ports(wanted: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Turn wanted ports into usable ones.

    Args:
        wanted: host to listen on and port, by purpose; port 0 stands for any free one.

    Returns:
        Ports by purpose, distinct on each host. Nothing holds them: a port that is found free here
        may be gone a moment later.

    Raises:
        PortTaken: a process listens on a wanted port; the message says who.
        PortUnusable: this machine does not have the address, or this user may not use the port.
    """
    with contextlib.ExitStack() as held:
        ports = {}
        # The wanted ones first, so that none of them is given away as a free one.
        for purpose, (host, port) in sorted(wanted.items(), key=lambda item: item[1][1] == 0):
            probe = held.enter_context(socket.socket(_family(host), socket.SOCK_STREAM))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    why = f"port {port} for {purpose} is taken{_holder(port)}"
                    raise PortTaken(why) from error
                why = f"port {port} of {host} for {purpose} cannot be used: {error.strerror}"
                raise PortUnusable(why) from error
            # Listening keeps the next probe from binding the same port.
            probe.listen(1)
            ports[purpose] = int(probe.getsockname()[1])
    return {purpose: ports[purpose] for purpose in wanted}


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _holder(port: int) -> str:
    try:
        listeners = [
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ]
    except psutil.AccessDenied:
        return ""
    for pid in listeners:
        if pid is None:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())[:80]
            return f" by process {pid} ({process.name()}: {command})"
    return " by a process of another user" if listeners else ""
