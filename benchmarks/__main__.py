"""Run the benchmarks: `make bench`."""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

from rich.console import Console

from benchmarks import classify_latency, explain_replicas, idle_system, lime_throughput
from benchmarks.report import Figure, save, show
from pellucid.embedded.environment import build_environment
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem
from pellucid.repository.build import build_model, is_current
from pellucid.repository.folder import model_folders

ROOT = Path(__file__).parents[1]
REPOSITORY = ROOT / "triton_repo"
PICTURE = ROOT / "samples" / "radiograph_opacity.png"


def main() -> None:
    """Build what is missing, start a system of its own on free ports, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="of LIME through the gateway")
    parser.add_argument("--library-samples", type=int, default=100, help="of the lime library")
    parser.add_argument("--repeats", type=int, default=50, help="calls of Classify")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "benchmarks.json")
    options = parser.parse_args()
    _build()
    figures = _measure(options.samples, options.library_samples, options.repeats)
    save(figures, options.out)


def _build() -> None:
    """Build what `up` would, so that the start which is timed builds nothing."""
    build_environment()
    for folder in model_folders(REPOSITORY):
        if not is_current(folder):
            build_model(folder)


def _measure(samples: int, library_samples: int, repeats: int) -> list[Figure]:
    console = Console()
    figures: list[Figure] = []

    def add(title: str, found: list[Figure]) -> None:
        show(title, found, console)
        figures.extend(found)

    with tempfile.TemporaryDirectory() as state:
        settings = SystemSettings(repository=REPOSITORY, state_dir=Path(state), gateway_port=0)
        start = perf_counter()
        with EmbeddedSystem(settings) as system:
            add("Idle system", idle_system.measure(system, perf_counter() - start))
            model = lime_throughput.MODEL
            times = classify_latency.measure(system, REPOSITORY, model, PICTURE, repeats)
            add("Classify", times)
            speed = lime_throughput.measure(system, REPOSITORY, PICTURE, samples, library_samples)
            add("LIME", speed)
        add("Replicas", explain_replicas.measure(REPOSITORY, Path(state), PICTURE, 200, 3))
    return figures


if __name__ == "__main__":
    main()
