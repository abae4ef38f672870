"""RLE Lossless for pydicom (PS3.5 annex G), as one of its plugins.

pydicom's own unpacks without a bound: two bytes become 128, so a small file could fill the memory.
"""

import struct
from typing import Any, Final

from pydicom.uid import UID, RLELossless

PLUGIN: Final = "pellucid_bounded"
DECODER_DEPENDENCIES: Final = {RLELossless: ()}


def is_available(uid: UID) -> bool:
    """Whether this plugin decodes a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: Any) -> bytearray:
    """Decode one frame; pydicom calls it with its `DecodeRunner`.

    Returns:
        Samples in little endian, plane after plane.

    Raises:
        ValueError: the segments do not give what rows, columns and bits ask for.
    """
    width = runner.bits_allocated // 8
    pixels = runner.rows * runner.columns
    offsets = struct.unpack_from("<16I", source)
    count, starts = offsets[0], offsets[1:]
    if count != width * runner.samples_per_pixel or count > len(starts):
        raise ValueError(f"{count} segments do not fit {runner.samples_per_pixel} x {width}")
    ends = (*starts[1:count], len(source))
    frame = bytearray(count * pixels)
    for index in range(count):
        plane, byte = divmod(index, width)  # the most significant byte of a sample comes first
        first = plane * width * pixels + width - 1 - byte
        frame[first : first + width * pixels : width] = _unpack(
            source[starts[index] : ends[index]], pixels
        )
    runner.set_option("planar_configuration", 1)
    return frame


def _unpack(segment: bytes, size: int) -> bytearray:
    """PackBits: a count up to 127 copies so many bytes and one, one above 128 repeats the next."""
    unpacked, at = bytearray(), 0
    while len(unpacked) < size:
        if at >= len(segment):
            raise ValueError(f"a segment gives {len(unpacked)} bytes of {size}")
        count = segment[at]
        if count < 128:
            unpacked += segment[at + 1 : at + 2 + count]
            at += 2 + count
        elif count > 128:
            unpacked += segment[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            at += 1
    return unpacked[:size]
