import pytest

from pellucid.errors import MediaLimitExceeded
from tests.unit.preprocess.files import read, sound, sound_contract, tone

TINY = {"n_mels": 8, "n_fft": 64, "win_length": 64, "hop_length": 16_384, "window_seconds": 0.004}


def test_more_windows_than_are_made_are_refused():
    with pytest.raises(MediaLimitExceeded) as caught:
        read(sound(tone(10)), sound_contract(hop_seconds=1e-9, **TINY))
    assert caught.value.metadata["limit"] == "max_windows"
    assert caught.value.metadata["maximum"] == "512"
    assert caught.value.metadata["actual"] == str(160_000 - 64 + 1)


def test_as_many_windows_as_are_allowed_are_made():
    content = sound(tone(1.0))
    assert len(read(content, sound_contract(), max_windows=3).windows) == 3
    with pytest.raises(MediaLimitExceeded):
        read(content, sound_contract(), max_windows=2)


@pytest.mark.parametrize("setting", ["max_tensor_bytes", "max_message_bytes"])
def test_windows_too_large_for_a_response_are_refused(setting: str):
    wide = sound_contract(hop_seconds=0.1, n_mels=512, hop_length=16)
    with pytest.raises(MediaLimitExceeded) as caught:
        read(sound(tone(5)), wide, **{setting: 1 << 20})
    assert caught.value.metadata["limit"] == setting
