"""How long a built system takes to be healthy, and how much memory it holds when idle."""

import psutil

from benchmarks.report import Figure
from pellucid.embedded.settings import ALL_SERVICES
from pellucid.embedded.system import EmbeddedSystem

GIGABYTE = 1e9


def measure(system: EmbeddedSystem, seconds: float) -> list[Figure]:
    """Memory of each service with its children; pages that processes share count once (PSS).

    Args:
        system: it runs, and has not been asked anything yet.
        seconds: what it took to start.
    """
    memory = {name: _memory(system.service(name).pid) for name in ALL_SERVICES}
    return [
        Figure("from start to healthy", seconds, "s", "under 20"),
        *(Figure(f"memory of {name}", size / GIGABYTE, "GB") for name, size in memory.items()),
        Figure("memory together", sum(memory.values()) / GIGABYTE, "GB", "under 6"),
    ]


def _memory(pid: int) -> int:
    process = psutil.Process(pid)
    family = (process, *process.children(recursive=True))
    return sum(member.memory_full_info().pss for member in family)
