"""Images a second of explanations with one and two replicas, each on CPUs of its own.

A replica is an explain service and a Triton: Triton does nearly all of the work, and scales along.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Final

import psutil

from benchmarks.lime_throughput import OpenVino
from benchmarks.report import Figure
from pellucid.client import Client, Lime
from pellucid.embedded.settings import ServiceName, SystemSettings
from pellucid.embedded.system import EmbeddedSystem

MODEL: Final = "pneumonia_densenet121"
BACK: Final[tuple[ServiceName, ...]] = ("triton", "explain")
FRONT: Final[tuple[ServiceName, ...]] = ("preprocess", "gateway")
CALLERS: Final = 4
"""Explanations at once; round robin gives each of two replicas as many."""


def measure(
    repository: Path, state: Path, sample: Path, samples: int, explanations: int
) -> list[Figure]:
    """Explain one picture again and again, with LIME, through a gateway before the replicas.

    What the gateway, the preprocess service and the caller need comes from the same CPUs.

    Args:
        repository: of the models.
        state: folder for the logs of the systems.
        sample: a picture.
        samples: of each LIME.
        explanations: of each caller and replica.

    Returns:
        Nothing on a machine of one CPU.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return []
    half = len(cpus) // 2
    parts = [cpus[:half], cpus[half : 2 * half]]
    # What the machine itself gives: its CPUs share memory and frequency.
    ceiling = sum(_openvino(repository, parts)) / (2 * sum(_openvino(repository, parts[:1])))
    with ExitStack() as stack:
        backs = [
            stack.enter_context(_pinned(_settings(repository, state / str(number), BACK), part))
            for number, part in enumerate(parts)
        ]
        alone, _ = _speed(backs[:1], repository, state / "one", sample, samples, explanations)
        both, busy = _speed(backs, repository, state / "two", sample, samples, explanations)
    front = busy["gateway"] + busy["preprocess"]
    return [
        Figure(f"one replica on {half} CPU, {CALLERS} callers", alone, "images/s"),
        Figure(f"two replicas on {2 * half} CPUs", both, "images/s"),
        Figure("two / twice one", both / (2 * alone), "ratio"),
        Figure("the same of OpenVINO alone, a process each", ceiling, "ratio"),
        Figure("replicas / OpenVINO alone", both / (2 * alone) / ceiling, "ratio", "0.9 or more"),
        *(Figure(f"work of {name}", 100 * share, "%") for name, share in busy.items()),
        # What all replicas share is the gateway's and the preprocess service's work alone.
        Figure("replicas that one CPU of gateway and preprocess could feed", 2 / front, ""),
    ]


def _openvino(repository: Path, parts: list[list[int]]) -> list[float]:
    """Images a second of the model's graph in processes of their own, all at the same time."""
    with ProcessPoolExecutor(len(parts), get_context("spawn")) as pool:
        return list(pool.map(_infer, [str(repository)] * len(parts), parts))


def _infer(repository: str, cpus: list[int]) -> float:
    os.sched_setaffinity(0, cpus)
    alone = OpenVino(Path(repository), MODEL)
    alone.images_per_second(16, 64)
    return alone.images_per_second(16, 400)


def _settings(
    repository: Path,
    state: Path,
    services: tuple[ServiceName, ...],
    variables: dict[str, str] | None = None,
) -> SystemSettings:
    return SystemSettings(
        repository=repository,
        state_dir=state,
        gateway_port=0,
        services=services,
        models=frozenset({MODEL}),
        variables=variables or {},
    )


@contextmanager
def _pinned(settings: SystemSettings, cpus: list[int]) -> Iterator[EmbeddedSystem]:
    """A system whose processes run on these CPUs alone: they inherit it from this thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    with ExitStack() as stack:
        try:
            system = stack.enter_context(EmbeddedSystem(settings))
        finally:
            os.sched_setaffinity(0, before)
        yield system


def _speed(
    backs: list[EmbeddedSystem],
    repository: Path,
    state: Path,
    sample: Path,
    samples: int,
    explanations: int,
) -> tuple[float, dict[str, float]]:
    """Images a second, and the CPUs that each kind of service kept busy meanwhile."""
    variables = {}
    for name in BACK:
        urls = ",".join(back.service(name).url for back in backs)
        variables[f"PELLUCID_GATEWAY_{name.upper()}_URL"] = f"ipv4:{urls}"
    with EmbeddedSystem(_settings(repository, state, FRONT, variables)) as front:
        systems = (front, *backs)
        with Client(front.gateway_url) as client:
            method = Lime(samples=samples)

            def explain(_: int = 0) -> None:
                client.explain_all(sample, MODEL, methods=[method])

            explain()
            count = CALLERS * explanations * len(backs)
            before = _cpu_seconds(systems)
            start = perf_counter()
            with ThreadPoolExecutor(CALLERS) as callers:
                # One that fails ends the benchmark: it would pass for a fast one.
                list(callers.map(explain, range(count)))
            seconds = perf_counter() - start
        after = _cpu_seconds(systems)
    images = count * samples
    return images / seconds, {name: (after[name] - before[name]) / seconds for name in after}


def _cpu_seconds(systems: tuple[EmbeddedSystem, ...]) -> dict[str, float]:
    """CPU time so far by service, its processes and replicas together."""
    spent: dict[str, float] = {}
    for system in systems:
        for service in system.record.services:
            process = psutil.Process(service.pid)
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                spent[service.name] = spent.get(service.name, 0.0) + times.user + times.system
    return spent
