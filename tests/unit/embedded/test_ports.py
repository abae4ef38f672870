"""Ports: free ones, and the holders of those that are not."""

import os
import socket

import pytest

from pellucid.embedded.errors import PortTaken, PortUnusable
from pellucid.embedded.ports import resolve_ports

HOST = "127.0.0.1"


def test_free_ports_are_distinct() -> None:
    ports = resolve_ports(dict.fromkeys("abcdef", (HOST, 0)))
    assert len(set(ports.values())) == 6


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server((HOST, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for gateway .*process {os.getpid()}"):
            resolve_ports({"gateway": (HOST, port)})


def test_an_address_of_another_machine_is_not_called_taken() -> None:
    with pytest.raises(PortUnusable, match=r"192\.0\.2\.1 for gateway"):
        resolve_ports({"gateway": ("192.0.2.1", 0)})


def test_a_wanted_port_is_never_given_away_as_a_free_one() -> None:
    wanted = resolve_ports({"gateway": (HOST, 0)})["gateway"]
    ports = resolve_ports({"triton": (HOST, 0), "gateway": (HOST, wanted)})
    assert ports["gateway"] == wanted != ports["triton"]
