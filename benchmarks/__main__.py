"""Run the benchmarks: `make bench`."""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

from rich.console import Console

from benchmarks import classify_latency, idle_system, lime_throughput
from benchmarks.report import Figure, save, show
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem
from pellucid.export import export_model, is_current, model_folders

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
    console = Console()
    for folder in model_folders(REPOSITORY):
        if not is_current(folder):
            export_model(folder)
    figures: list[Figure] = []

    def add(title: str, found: list[Figure]) -> None:
        show(title, found, console)
        figures.extend(found)

    with tempfile.TemporaryDirectory() as state:
        settings = SystemSettings(repository=REPOSITORY, state_dir=Path(state), gateway_port=0)
        start = perf_counter()
        with EmbeddedSystem(settings) as system:
            add("Idle system", idle_system.measure(system, perf_counter() - start))
            add(
                "Classify",
                classify_latency.measure(
                    system, REPOSITORY, lime_throughput.MODEL, PICTURE, options.repeats
                ),
            )
            add(
                "LIME",
                lime_throughput.measure(
                    system, REPOSITORY, PICTURE, options.samples, options.library_samples
                ),
            )
    save(figures, options.out)


if __name__ == "__main__":
    main()
