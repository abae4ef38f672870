"""The curves of a run as a picture: loss and validation figures by epoch."""

import csv
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

Curves = dict[str, dict[int, float]]
"""Value by epoch, counted from 1, of each figure."""


def read_curves(folder: Path) -> Curves:
    """Collect what a run has logged, through all its interruptions.

    Args:
        folder: of the run: `curves.csv` of Keras, or `curves/version_*/metrics.csv` of Lightning.
    """
    files = sorted(
        [*folder.glob("curves/version_*/metrics.csv"), *folder.glob("curves.csv")],
        key=lambda path: path.stat().st_mtime,
    )
    curves: Curves = {}
    for path in files:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if row["epoch"] and text and (name == "loss" or name.startswith("val_")):
                        curves.setdefault(name, {})[int(row["epoch"]) + 1] = float(text)
    return curves


def draw_curves(folder: Path) -> Path | None:
    """Draw `curves.png` into the folder of a run; nothing where nothing is logged yet."""
    curves = read_curves(folder)
    if not curves:
        return None
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        losses, areas = figure.subplots(1, 2)
        for name, values in sorted(curves.items()):
            axes = areas if "auc" in name else losses
            epochs = sorted(values)
            axes.plot(epochs, [values[epoch] for epoch in epochs], marker=".", label=name)
        losses.set(xlabel="epoch", ylabel="loss")
        areas.set(xlabel="epoch", ylabel="area under the ROC curve")
        for axes in (losses, areas):
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend()
        path = folder / "curves.png"
        figure.savefig(path, dpi=120)
    return path
