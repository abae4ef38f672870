import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import (
    MediaLimitExceeded,
    PellucidError,
    UnreadableMedia,
    UnsupportedMedia,
)
from tests.unit.preprocess.files import (
    dataset,
    dicom,
    image_contract,
    pixels,
    png,
    read,
    save,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)

IMAGE, SOUND = image_contract(), sound_contract()


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(pixels()), Image.fromarray(pixels()[::-1].copy())]
    return save(pictures[0], kind, save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize("contract", [IMAGE, SOUND])
def test_an_empty_file_is_unreadable(contract: ImageContract | LogMelContract):
    with pytest.raises(UnreadableMedia) as caught:
        read(b"", contract)
    assert caught.value.field == "content"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"Dear Sir, this is no picture.\n", "text/plain"),
        ("größer".encode("utf-16"), "application/octet-stream"),
        (b"<!DOCTYPE html><html></html>", "text/html"),
        (b'<svg xmlns="x"/>', "image/svg+xml"),
        (frames("GIF"), "image/gif"),
        (save(Image.new("L", (9, 9)), "BMP"), "image/bmp"),
        (save(Image.new("L", (9, 9)), "TIFF"), "image/tiff"),
        (save(Image.new("L", (9, 9)), "WEBP"), "image/webp"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftypM4A ", "video/mp4"),
        (b"%PDF-1.7", "application/pdf"),
        (sound(tone(), "AIFF"), "audio/aiff"),
        (sound(tone(), "WAV"), "audio/wav"),
        (sound(tone(), "MP3"), "audio/mpeg"),
        (bytes(500), "application/octet-stream"),
    ],
)
def test_another_kind_of_file_is_named_with_what_is_accepted(content: bytes, found: str):
    with pytest.raises(UnsupportedMedia) as caught:
        read(content, IMAGE)
    assert caught.value.field == "content"
    assert caught.value.metadata["found"] == found
    assert caught.value.metadata["accepted"] == "image/png, image/jpeg, application/dicom"


@pytest.mark.parametrize("content", [png(pixels()), smooth_jpeg(), dicom(dataset(pixels()))])
def test_a_picture_is_no_sound(content: bytes):
    with pytest.raises(UnsupportedMedia) as caught:
        read(content, SOUND)
    assert caught.value.metadata["accepted"] == "audio/wav, audio/flac, audio/mpeg, audio/ogg"


def test_an_animated_png_is_unsupported():
    with pytest.raises(UnsupportedMedia):
        read(frames("PNG"), IMAGE)


@pytest.mark.parametrize("size", range(1, 8))
def test_a_signature_that_is_cut_off_is_unreadable(size: int):
    with pytest.raises(UnreadableMedia):
        read(png(pixels())[:size], IMAGE)


@pytest.mark.parametrize(
    "content",
    [
        png(pixels(200, 300)),
        smooth_jpeg("RGB", (300, 200)),
        smooth_jpeg("L", (300, 200), progressive=True),
    ],
    ids=["png", "jpeg", "progressive"],
)
def test_a_picture_that_is_cut_off_is_never_half_shown(content: bytes):
    for size in np.linspace(40, len(content) - 1, 60, dtype=int):
        with pytest.raises(UnreadableMedia):
            read(content[:size], IMAGE)


def test_every_flipped_bit_of_a_png_is_noticed():
    content = png(pixels())
    for offset in range(8, len(content), 17):
        damaged = bytearray(content)
        damaged[offset] ^= 4
        with pytest.raises(PellucidError):
            read(bytes(damaged), IMAGE)


def huge_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_huge_picture_in_a_small_file_is_refused_at_once():
    content = huge_png(50_000)
    assert len(content) < 5_000
    tracemalloc.start()
    start = perf_counter()
    with pytest.raises(MediaLimitExceeded) as caught:
        read(content, IMAGE)
    assert perf_counter() - start < 0.5
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert caught.value.metadata["limit"] == "max_pixels"
    assert caught.value.metadata["actual"] == "2500000000"


@pytest.mark.parametrize(
    ("content", "contract", "settings", "limit"),
    [
        (png(pixels()), IMAGE, {"max_content_bytes": 100}, "max_content_bytes"),
        (png(pixels()), IMAGE, {"max_pixels": 24 * 32 - 1}, "max_pixels"),
        (smooth_jpeg(), IMAGE, {"max_pixels": 64 * 48 - 1}, "max_pixels"),
        (dicom(dataset(pixels())), IMAGE, {"max_pixels": 24 * 32 - 1}, "max_pixels"),
        (sound(tone()), SOUND, {"max_audio_seconds": 0.4}, "max_audio_seconds"),
        (png(pixels()), IMAGE, {"max_tensor_bytes": 4 * 24 * 32 - 1}, "max_tensor_bytes"),
        (sound(tone()), SOUND, {"max_tensor_bytes": 100}, "max_tensor_bytes"),
        (sound(tone(1.0)), SOUND, {"max_windows": 2}, "max_windows"),
    ],
)
def test_each_limit_is_named_with_its_value_and_the_files(
    content: bytes, contract: ImageContract | LogMelContract, settings: dict[str, Any], limit: str
):
    with pytest.raises(MediaLimitExceeded) as caught:
        read(content, contract, **settings)
    metadata = caught.value.metadata
    assert metadata["limit"] == limit
    assert float(metadata["maximum"]) == next(iter(settings.values()))
    assert float(metadata["actual"]) > float(metadata["maximum"])


def test_a_jpeg_of_endless_scans_is_refused():
    content = smooth_jpeg("L", (64, 48), progressive=True)
    scans = content[content.index(b"\xff\xda") : -2]
    with pytest.raises(MediaLimitExceeded):
        read(content[:-2] + scans * 40 + content[-2:], IMAGE)


@pytest.mark.parametrize("process", [b"\xff\xc3", b"\xff\xc9", b"\xff\xcb"])
def test_a_jpeg_of_another_process_is_unsupported(process: bytes):
    with pytest.raises(UnsupportedMedia):
        read(smooth_jpeg().replace(b"\xff\xc0", process, 1), IMAGE)


def test_work_stops_at_the_next_checkpoint():
    class Gone(Exception):
        pass

    def gone() -> None:
        raise Gone

    for content, contract in ((png(pixels()), IMAGE), (sound(tone()), SOUND)):
        with pytest.raises(Gone):
            read(content, contract, checkpoint=gone)


DISKLESS = """
import resource, sys
from tests.unit.preprocess import files
import numpy as np
contents = [
    (files.png(files.pixels()), files.image_contract()),
    (files.smooth_jpeg(), files.image_contract()),
    (files.dicom(files.dataset(files.pixels())), files.image_contract()),
    *((path.read_bytes(), files.image_contract())
      for path in sorted(files.SHARED.glob("dicom/nih_*.dcm"))),
    *((files.sound(files.tone(1.0, 8_000), kind, rate=8_000), files.sound_contract())
      for kind in ("WAV", "FLAC", "OGG", "MP3")),
]
def everything():
    for content, contract in contents:
        files.read(content, contract)
everything()  # libraries that load late may cache what they compile
opened = []
def watch(event, args):
    if event == "open" and (args[2] & 3 or "w" in str(args[1]) or "a" in str(args[1])):
        opened.append(args[0])
    if event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
        opened.append(event)
sys.addaudithook(watch)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # below Python too: a written byte kills us
everything()
sys.exit(str(opened) if opened else 0)
"""


def test_nothing_is_written_to_disk():
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", DISKLESS],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert result.returncode == 0, result.stderr


MEMORY = """
import sys
from tests.unit.preprocess import files
from preprocess_service import warmup
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
warmup.give_memory_back()
contract = files.image_contract()
large = files.smooth_jpeg("RGB", (4096, 4096))
files.read(files.smooth_jpeg(), contract)
before = resident()
for _ in range(2):
    files.read(large, contract)
sys.exit(0 if resident() - before < 16 << 20 else f"{before} -> {resident()}")
"""


def test_the_memory_of_a_large_picture_returns():
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert result.returncode == 0, result.stderr
