import pytest
from PIL import Image

from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import (
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


@pytest.mark.parametrize("size", range(1, 8))
def test_a_signature_that_is_cut_off_is_unreadable(size: int):
    with pytest.raises(UnreadableMedia):
        read(png(pixels())[:size], IMAGE)
