"""`python -m tests.fuzz.fuzz_media`: damage files in every way, and see that none is a surprise.

Each mutation goes through a real worker. It must be read, or refused by an error of the family: an
internal error is a bug. The same seed gives the same mutations.
"""

import argparse
import asyncio
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from pydicom import uid

from pellucid.contracts import InputSpec
from pellucid.errors import PellucidError
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from tests.unit.preprocess import files
from tests.unit.preprocess.workers import read_in, running_pool, workers_of

SAMPLES: Final = Path(__file__).parents[2] / "samples"
KINDS: Final = ("dicom", "png", "jpeg", "wav", "mp3", "ogg", "flac")
_HEAD_BYTES: Final = 1_024
"""Half of the damage is done here, where the headers are."""
_MAX_SEED_BYTES: Final = 1 << 20
_EXTREMES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)
_REPRESENTATIONS: Final = (b"VS", b"SQ", b"UN", b"OB", b"DS", b"AT", b"FD", b"UT", b"\0\0")
"""Of DICOM's values; the first is none."""


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """Undamaged files of a kind: generated ones, samples, and real ones where they are."""
    found = {"dicom": _dicoms, "png": _pngs, "jpeg": _jpegs}.get(kind)
    contents = list(found() if found is not None else _sounds(kind))
    return tuple(content for content in contents if len(content) <= _MAX_SEED_BYTES)


def _dicoms() -> Iterator[bytes]:
    values, deep = files.pixels(), files.pixels(dtype=np.uint16) >> 4
    yield files.dicom(files.dataset(values, WindowCenter=90, WindowWidth=99))
    yield files.dicom(files.dataset(deep, BitsStored=12, RescaleSlope=2, RescaleIntercept=-9))
    yield files.dicom(files.dataset(files.pixels(24, 32, 3)))
    yield files.compressed(uid.JPEGBaseline8Bit, files.smooth_jpeg("L", (32, 24)))
    yield files.compressed(uid.JPEG2000Lossless, files.jpeg_2000(no_jp2=True))
    packed = files.dataset(values)
    packed.compress(uid.RLELossless, generate_instance_uid=False)
    yield files.dicom(packed)
    for path in sorted(files.SHARED.glob("dicom/*.dcm")):
        yield path.read_bytes()


def _pngs() -> Iterator[bytes]:
    for values in (files.pixels(), files.pixels(24, 32, 4), files.pixels(dtype=np.uint16)):
        yield files.png(values)
    palette = Image.fromarray(files.pixels()).convert("P")
    yield files.save(palette, "PNG", transparency=2)
    yield files.save(Image.new("1", (32, 24)), "PNG")
    yield from (path.read_bytes() for path in sorted(SAMPLES.glob("*.png")))


def _jpegs() -> Iterator[bytes]:
    for mode in ("L", "RGB", "CMYK"):
        yield files.smooth_jpeg(mode)
        yield files.smooth_jpeg(mode, progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield files.smooth_jpeg(exif=exif)
    with Image.open(SAMPLES / "radiograph_clear.png") as radiograph:
        yield files.save(radiograph.convert("L"), "JPEG", quality=80)


def _sounds(kind: str) -> Iterator[bytes]:
    stereo = np.stack([files.tone(), files.tone(hertz=880)], axis=1)
    yield files.sound(files.tone(), kind.upper())
    yield files.sound(stereo, kind.upper(), rate=44_100)
    if kind == "ogg":
        yield files.sound(files.tone(), "OGG", "OPUS")
    if kind == "wav":
        yield files.sound(files.tone(), "WAV", "FLOAT")
        yield files.sound(files.tone(), "RF64")
    yield from (path.read_bytes() for path in sorted(SAMPLES.glob(f"*.{kind}")))


def mutations(kind: str, count: int, seed: int, start: int = 0) -> Iterator[bytes]:
    """Damaged files of a kind, from number `start` on."""
    contents = seeds(kind)
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
        content = bytearray(contents[number % len(contents)])
        for _ in range(int(rng.integers(1, 4))):
            _damage(content, kind, rng)
        yield _repaired(bytes(content), kind) if rng.random() < 0.7 else bytes(content)


def _damage(content: bytearray, kind: str, rng: np.random.Generator) -> None:
    end = max(1, min(len(content), _HEAD_BYTES) if rng.random() < 0.5 else len(content))
    at, length = int(rng.integers(end)), int(rng.geometric(0.1))
    match int(rng.integers(9 if kind == "dicom" else 8)):
        case 0:
            content[at : at + 1] = bytes([int(rng.integers(256))])
        case 1:
            for place in rng.integers(end, size=length):
                content[place : place + 1] = bytes([int(rng.integers(256))])
        case 2:
            content[at : at + length] = bytes([int(rng.choice([0, 255]))]) * length
        case 3:
            del content[at : at + length]
        case 4:
            content[at:at] = rng.bytes(length)
        case 5:
            del content[at:]
        case 6:
            width, order = int(rng.choice([1, 2, 4])), ("big", "little")[int(rng.integers(2))]
            value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] % (1 << 8 * width)
            content[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
        case 7:
            source = int(rng.integers(len(content) or 1))
            content[at:at] = content[source : source + length * 8]
        case _:
            _misrepresent(content, rng)


def _misrepresent(content: bytearray, rng: np.random.Generator) -> None:
    """Give an element of a DICOM file another value representation."""
    head = bytes(content[: 2 * _HEAD_BYTES])
    places = [place for place in range(132, len(head)) if head[place : place + 2].isupper()]
    if places:
        chosen = _REPRESENTATIONS[int(rng.integers(len(_REPRESENTATIONS)))]
        place = int(rng.choice(places))
        content[place : place + 2] = chosen


def _repaired(content: bytes, kind: str) -> bytes:
    """With checksums that fit the damage, without which most of it would be noticed by them."""
    repaired = bytearray(content)
    if kind == "png":
        at = 8
        while at + 12 <= len(repaired):
            end = at + 8 + int.from_bytes(repaired[at : at + 4], "big")
            repaired[end : end + 4] = zlib.crc32(repaired[at + 4 : end]).to_bytes(4, "big")
            at = end + 4
    if kind == "ogg":
        starts = [match.start() for match in re.finditer(b"OggS", content)]
        for at, end in pairwise([*starts, len(repaired)]):
            if end - at >= 27:
                repaired[at + 22 : at + 26] = bytes(4)
                repaired[at + 22 : at + 26] = files.ogg_checksum(bytes(repaired[at:end]))
    return bytes(repaired)


def contract_of(kind: str) -> InputSpec:
    """What a file of a kind is read for."""
    if kind in ("dicom", "png", "jpeg"):
        return files.image_contract()
    return files.sound_contract()


async def outcome(pool: DecodingPool, content: bytes, contract: InputSpec) -> str:
    """`READ`, the reason of the refusal, or `INTERNAL`."""
    try:
        response = await read_in(pool, content, contract)
    except PellucidError as error:
        assert error.remedy, error
        return error.reason
    except RuntimeError as bug:
        print(bug, file=sys.stderr)  # noqa: T201
        return "INTERNAL"
    values = [np.frombuffer(window.tensor.data, "<f4") for window in response.windows]
    return "READ" if all(np.isfinite(part).all() for part in values) else "NOT FINITE"


async def fuzz(
    pool: DecodingPool, kind: str, count: int, seed: int, start: int = 0
) -> dict[str, list[int]]:
    """Numbers of the mutations by what came of them."""
    contract, found = contract_of(kind), dict[str, list[int]]()
    numbered = enumerate(mutations(kind, count, seed, start), start)

    async def work() -> None:
        for number, content in numbered:
            found.setdefault(await outcome(pool, content, contract), []).append(number)

    await asyncio.gather(work(), work())
    return found


def memory_bytes(server: ForkServer) -> int:
    """Resident memory of the fork server and its workers."""
    sizes = (Path(f"/proc/{pid}/statm").read_text() for pid in (server.pid, *workers_of(server)))
    return sum(int(size.split()[1]) * 4096 for size in sizes)


async def main(arguments: argparse.Namespace) -> int:
    """Fuzz the kinds that are named; 1 if there was an internal error."""
    total: Counter[str] = Counter()
    with ForkServer() as server:
        async with running_pool(server, workers=2) as pool:
            for kind in arguments.kinds:
                before = memory_bytes(server)
                found = await fuzz(pool, kind, arguments.count, arguments.seed, arguments.start)
                counts = {reason: len(numbers) for reason, numbers in sorted(found.items())}
                total.update(counts)
                bugs = found.get("INTERNAL", []) + found.get("NOT FINITE", [])
                grown = (memory_bytes(server) - before) / 1e6
                print(kind, counts, f"memory {grown:+.0f} MB", bugs[:9], flush=True)  # noqa: T201
    return 1 if total["INTERNAL"] or total["NOT FINITE"] else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--count", type=int, default=10_000, help="mutations of each kind")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", type=int, default=0, help="number of the first mutation")
    sys.exit(asyncio.run(main(parser.parse_args())))
