from typing import Any

import pytest

from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import MediaLimitExceeded
from tests.unit.preprocess.files import (
    dataset,
    dicom,
    image_contract,
    pixels,
    png,
    read,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)

IMAGE, SOUND = image_contract(), sound_contract()


@pytest.mark.parametrize(
    ("content", "contract", "settings", "limit"),
    [
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
