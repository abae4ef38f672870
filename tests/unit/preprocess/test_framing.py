import numpy as np
import pytest

from pellucid.spectrogram import spectrogram
from tests.unit.preprocess.files import sound, sound_contract, tone, windows


def cells(samples, contract):
    """What a model of one channel sees, `(bands, frames)`."""
    return spectrogram(samples, contract)[..., 0]


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (0.1, [0.0]),
        (0.5, [0.0]),
        (0.6, [0.0, 0.1]),
        (0.75, [0.0, 0.25]),
        (0.76, [0.0, 0.25, 0.26]),
        (1.0, [0.0, 0.25, 0.5]),
    ],
)
def test_windows_cover_the_clip_and_the_last_ends_with_it(seconds: float, starts: list[float]):
    found = windows(sound(tone(seconds)))
    assert [window.start_seconds for window in found] == pytest.approx(starts)
    assert [window.end_seconds - window.start_seconds for window in found] == pytest.approx(
        [0.5] * len(starts)
    )


def test_a_short_clip_is_followed_by_silence_or_by_itself():
    samples = tone(0.2)
    silence = np.concatenate([samples, np.zeros(4_800, np.float32)])
    again = np.concatenate([samples, samples, samples[:1_600]])
    content = sound(samples, subtype="FLOAT")
    contract = sound_contract()
    np.testing.assert_array_equal(windows(content)[0].tensor[0], cells(silence, contract))
    repeated = windows(content, pad="repeat")[0].tensor[0]
    np.testing.assert_array_equal(repeated, cells(again, contract))
