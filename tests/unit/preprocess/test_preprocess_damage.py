"""Any damage to any file gives a tensor or an error of the family, and never anything else."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import PellucidError
from tests.unit.preprocess.files import (
    dataset,
    dicom,
    image_contract,
    pixels,
    png,
    read,
    shared_dicoms,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)

# What the decoders say of damaged files they say in warnings too, which the service silences.
pytestmark = pytest.mark.filterwarnings("ignore")

IMAGE, SOUND = image_contract(), sound_contract()
TRIES = 60

CONTENTS: dict[str, tuple[bytes, ImageContract | LogMelContract]] = {
    "png": (png(pixels()), IMAGE),
    "jpeg": (smooth_jpeg(), IMAGE),
    "progressive": (smooth_jpeg("CMYK", progressive=True), IMAGE),
    "dicom": (dicom(dataset(pixels(), WindowCenter=90, WindowWidth=99)), IMAGE),
    "wav": (sound(tone()), SOUND),
    "float": (sound(tone(), "WAV", "FLOAT"), SOUND),
    "flac": (sound(tone(), "FLAC"), SOUND),
    "vorbis": (sound(tone(), "OGG"), SOUND),
    "opus": (sound(tone(), "OGG", "OPUS"), SOUND),
    "mp3": (sound(tone(), "MP3"), SOUND),
}


def survive(content: bytes, contract: ImageContract | LogMelContract) -> None:
    try:
        result = read(content, contract)
    except PellucidError as error:
        assert error.field == "content"
        assert error.remedy
    else:
        assert all(np.isfinite(window.tensor).all() for window in result.windows)


def damaged(content: bytes, seed: int, head: int) -> list[bytes]:
    """Truncations, flipped bits, runs of zeros and of ones; half of them in the header."""
    rng = np.random.default_rng(seed)
    found = []
    for attempt in range(TRIES):
        end = min(head, len(content)) if attempt % 2 else len(content)
        offset = int(rng.integers(0, end))
        broken = bytearray(content)
        kind = attempt // 2 % 4
        if kind == 0:
            del broken[offset:]
        elif kind == 1:
            for at in rng.integers(0, end, 1 + attempt % 4):
                broken[at] ^= 1 << int(rng.integers(8))
        else:
            length = int(rng.integers(1, 9))
            broken[offset : offset + length] = bytes([0 if kind == 2 else 255]) * length
        found.append(bytes(broken))
    return found


@pytest.mark.parametrize("name", CONTENTS)
def test_no_damage_is_a_surprise(name: str):
    content, contract = CONTENTS[name]
    for broken in damaged(content, zlib.crc32(name.encode()), head=200):
        survive(broken, contract)


@pytest.mark.parametrize("path", shared_dicoms())
def test_no_damage_to_a_real_dicom_file_is_a_surprise(path: Path):
    content = path.read_bytes()
    count = 16 if path.stem.startswith("nih") else 3  # the others are large
    for broken in damaged(content, zlib.crc32(path.name.encode()), head=1_500)[:count]:
        survive(broken, IMAGE)
