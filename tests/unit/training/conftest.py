"""Tiny data sets in the exact layout of the real ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.tiny_sets import picture, sound
from training.recipe import Recipe


@pytest.fixture
def kermany(tmp_path: Path) -> Path:
    """A root of data sets with `kermany/`: 24 pictures to train on, 8 to validate, 8 to test."""
    rows = ["path,label,split,patient,class,duplicate_of,number_also_in_train"]
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        for number in range(count):
            label = ("normal", "bacteria", "normal", "virus")[number % 4]
            name = f"{split}/{label}-{number}.jpeg"
            picture(
                tmp_path / "data/kermany" / name, label != "normal", number + 100 * (split == "val")
            )
            rows.append(f"{name},{label},{split},{split}-{number // 2},X,,0")
    (tmp_path / "data/kermany/manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A root of data sets with `speech/` and `speech_neural/`, a few clips each."""
    root = tmp_path / "data"
    rows = ["path,label,split,speaker_or_engine,source,voice,paired_real,split_b,family"]
    for split, voice in (("train", "anna"), ("val", "bert")):
        first = 100 * (split == "val")
        for number in range(4):
            real, fake = f"{split}/real{number}.flac", f"{split}/fake{number}.flac"
            rows.append(f"{real},real,{split},{voice},reading,{voice},,{split},")
            pair = real if number < 2 else ""
            engine = "vocoder" if pair else "tts"
            rows.append(f"{fake},fake,{split},{engine} {split},here,x,{pair},{split},{engine}")
            sound(root / "speech" / real, seed=first + number)
            sound(root / "speech" / fake, seed=first + number + 10)
    (root / "speech/manifest.csv").write_text("\n".join(rows) + "\n")
    rows = ["path,label,engine,kind,speaker_or_corpus,source,licence,split"]
    for split in ("train", "val"):
        first = 100 * (split == "val")
        for number in range(3):
            rows.append(
                f"real/{split}{number}.flac,real,human,real,p1,{split}/repository,MIT,{split}"
            )
            rows.append(
                f"fake/{split}{number}.flac,fake,hifigan,tts,p1,{split}/repository,MIT,{split}"
            )
            sound(root / f"speech_neural/real/{split}{number}.flac", seed=first + number + 20)
            sound(root / f"speech_neural/fake/{split}{number}.flac", seed=first + number + 30)
    (root / "speech_neural/manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def written() -> Callable[[Path, Recipe], Path]:
    """Writes a recipe as people do."""

    def write(path: Path, recipe: Recipe) -> Path:
        tree = recipe.model_dump(mode="json", exclude_unset=True)
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path

    return write
