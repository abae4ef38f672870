"""Where trainings read and write."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

_ROOT = Path(__file__).parents[1]

RECIPE, FINISHED = "recipe.yaml", "finished.json"
"""Files of a run beside its weights: what it was started with; its figures, written last."""
DETECTOR_FIGURES = "detector.json"
"""Written after them, with the detector's own file: the card's part and the share of warnings."""


@dataclass(frozen=True)
class Places:
    """Folders of trainings."""

    data: Path = _ROOT.parent / "shared/data"
    """The data sets, a folder each."""
    runs: Path = _ROOT / "runs"
    """The runs, a folder each: checkpoints, curves, weights."""
    repository: Path = _ROOT / "triton_repo"
    """The served models."""
    tensorboard: bool = False
    """Whether each run also gets its curves in `tensorboard/`."""

    def run(self, model: str) -> Path:
        """The run of a recipe."""
        return self.runs / model

    @staticmethod
    def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
        """Add an option for each of these fields: those that a command reads."""
        for name in names:
            if name == "tensorboard":
                parser.add_argument("--tensorboard", action="store_true")
            else:
                parser.add_argument(f"--{name}", type=Path, default=getattr(Places, name))

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Places":
        """The folders that options name; the others are as usual."""
        named = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in vars(options).items() if name in named})

    @property
    def options(self) -> list[str]:
        """The same as options of a command."""
        return [
            f"--data={self.data}",
            f"--runs={self.runs}",
            f"--repository={self.repository}",
            *(["--tensorboard"] if self.tensorboard else []),
        ]


def recipe_path(named: str) -> Path:
    """A recipe's file, which is named by its path or, of those in `recipes/`, by its model."""
    path = Path(named)
    return path if path.suffix else Path(__file__).parent / "recipes" / f"{named}.yaml"
