import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pellucid.contracts import Layout
from pellucid.errors import MediaLimitExceeded, UnreadableMedia, UnsupportedMedia
from pellucid.spectrogram import log_mel
from preprocess_service import audio
from preprocess_service import windows as cutting
from preprocess_service.media import AudioFacts, Recording, Window
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import identify
from tests.unit.preprocess.files import RATE, read, sound, sound_contract, tone


def decode(content: bytes, **settings: Any) -> Recording:
    return audio.decode(content, identify(content), PreprocessSettings(**settings), lambda: None)


def windows(content: bytes, **contract: Any) -> tuple[Window, ...]:
    return read(content, sound_contract(**contract)).windows


@pytest.mark.parametrize(
    ("kind", "subtype", "bits", "tolerance"),
    [
        ("WAV", "PCM_U8", 8, 1e-2),
        ("WAV", "PCM_16", 16, 1e-4),
        ("WAV", "PCM_24", 24, 1e-6),
        ("WAV", "PCM_32", 32, 1e-7),
        ("WAV", "FLOAT", 32, 0),
        ("WAV", "DOUBLE", 64, 0),
        ("WAV", "ULAW", 8, 3e-2),
        ("WAVEX", "PCM_16", 16, 1e-4),
        ("RF64", "PCM_16", 16, 1e-4),
        ("FLAC", "PCM_S8", 8, 1e-2),
        ("FLAC", "PCM_16", 16, 1e-4),
        ("FLAC", "PCM_24", 24, 1e-6),
        ("OGG", "VORBIS", 0, 5e-2),
        ("OGG", "OPUS", 0, 1e-1),
        ("MP3", "MPEG_LAYER_III", 0, 5e-2),
    ],
)
def test_every_encoding_gives_the_same_sound(kind: str, subtype: str, bits: int, tolerance: float):
    samples = tone()
    recording = decode(sound(samples, kind, subtype))
    assert recording.facts == AudioFacts(
        sample_rate_hz=RATE, channels=1, duration_seconds=0.5, encoding=subtype, bit_depth=bits
    )
    assert recording.samples.dtype == np.float32
    np.testing.assert_allclose(recording.samples[500:-500], samples[500:-500], atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_is_brought_to_the_models(rate: int):
    contract = sound_contract()
    found = windows(sound(tone(0.5, rate), rate=rate))[0].tensor[0]
    expected = log_mel(tone(0.5, RATE), contract)
    assert found.argmax() // found.shape[1] == expected.argmax() // expected.shape[1]
    loud = expected > expected.max() - 1
    np.testing.assert_allclose(found[loud], expected[loud], atol=0.1)


def test_channels_are_mixed_by_their_mean():
    left, right = tone(), -0.5 * tone(hertz=880)
    recording = decode(sound(np.stack([left, right, left], axis=1), subtype="FLOAT"))
    assert recording.facts.channels == 3
    np.testing.assert_allclose(recording.samples, (2 * left + right) / 3, atol=1e-6)


def test_a_clip_of_the_windows_length_is_what_training_saw():
    samples = tone()
    window = windows(sound(samples, subtype="FLOAT"))[0]
    np.testing.assert_array_equal(window.tensor[0], log_mel(samples, sound_contract()))
    assert window.tensor.shape == (1, 40, 51)
    assert windows(sound(samples), layout=Layout.HWC)[0].tensor.shape == (40, 51, 1)


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


def test_each_window_shows_its_own_part():
    samples = tone(1.0)
    samples[8_000:] = 0
    loud, half, silent = windows(sound(samples, subtype="FLOAT"))
    np.testing.assert_array_equal(loud.tensor[0], log_mel(samples[:8_000], sound_contract()))
    np.testing.assert_array_equal(half.tensor[0], log_mel(samples[4_000:12_000], sound_contract()))
    assert np.ptp(silent.tensor) == 0
    assert len({loud.digest, half.digest, silent.digest}) == 3


def test_a_short_clip_is_followed_by_silence_or_by_itself():
    samples = tone(0.2)
    silence = np.concatenate([samples, np.zeros(4_800, np.float32)])
    again = np.concatenate([samples, samples, samples[:1_600]])
    content = sound(samples, subtype="FLOAT")
    contract = sound_contract()
    np.testing.assert_array_equal(windows(content)[0].tensor[0], log_mel(silence, contract))
    repeated = windows(content, pad="repeat")[0].tensor[0]
    np.testing.assert_array_equal(repeated, log_mel(again, contract))


def test_a_single_sample_is_enough():
    assert len(windows(sound(np.array([0.5])))) == 1


def test_axes_and_the_way_back_agree():
    samples = np.zeros(16_000, np.float32)
    samples[9_600] = 1.0  # a click at 0.6 s
    for window in windows(sound(samples)):
        axes, back = window.axes, window.to_original
        assert axes is not None
        assert len(axes.time_seconds) == 51
        for column, second in enumerate(axes.time_seconds):
            assert back.x_scale * (column + 0.5) + back.x_offset == pytest.approx(second)
        loudest = window.tensor[0].sum(axis=0).argmax()
        if window.start_seconds <= 0.6 <= window.end_seconds:
            assert axes.time_seconds[loudest] == pytest.approx(0.6, abs=0.006)


def test_rows_are_named_by_the_frequency_that_they_hear():
    window = windows(sound(tone(hertz=1_000)))[0]
    assert window.axes is not None
    frequency = window.axes.frequency_hz
    assert list(frequency) == sorted(frequency)
    loudest = int(window.tensor[0].mean(axis=1).argmax())
    assert frequency[loudest] == pytest.approx(1_000, rel=0.06)


def test_the_display_has_low_bands_at_the_bottom():
    window = windows(sound(tone(hertz=200)))[0]
    shown = Image.open(BytesIO(window.display_png))
    assert shown.size == (51, 40)
    brightness = np.asarray(shown.convert("L"), float).mean(axis=1)
    assert brightness.argmax() > 30


def test_a_flac_behind_an_id3_tag_is_read():
    tag = b"ID3\x04\0\0" + bytes([0, 0, 0, 20]) + bytes(20)
    assert identify(tag + sound(tone(), "FLAC")) == "audio/flac"
    assert decode(tag + sound(tone(), "FLAC")).facts.duration_seconds == 0.5


@pytest.mark.parametrize("trailer", [b"TAG" + bytes(125), bytes(100), b"APETAGEX" + bytes(50)])
def test_an_mp3_with_tags_around_it_is_read(trailer: bytes):
    tag = b"ID3\x03\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
    content = tag + sound(tone(), "MP3") + trailer
    assert identify(content) == "audio/mpeg"
    assert decode(content).facts.duration_seconds == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_sound_are_refused_by_place(value: float, subtype: str):
    samples = np.stack([tone(), tone()], axis=1)
    samples[1_234, 1] = value
    with pytest.raises(UnreadableMedia) as caught:
        decode(sound(samples, subtype=subtype))
    assert "sample 1234 of channel 1" in caught.value.metadata["why"]


def with_length(announced: int) -> bytes:
    content = sound(tone())
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", announced) + content[at + 4 :]


@pytest.mark.parametrize("announced", [0, 16_002, 1 << 24, 0x7000_0000])
def test_a_wav_that_announces_other_samples_than_it_holds_is_refused(announced: int):
    with pytest.raises(UnreadableMedia) as caught:
        decode(with_length(announced))
    assert "announces" in caught.value.metadata["why"]


@pytest.mark.parametrize("announced", [0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_streamed_wav_is_read_to_its_end(announced: int):
    assert decode(with_length(announced)).facts.duration_seconds == 0.5


def test_a_wav_may_announce_less_than_follows():
    assert decode(with_length(8_000)).facts.duration_seconds == 0.25


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_recording_of_no_samples_is_refused(kind: str):
    with pytest.raises(UnreadableMedia):
        decode(sound(np.zeros(0), kind))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.8, 0.97, 0.999])
def test_a_recording_that_is_cut_off_is_refused(kind: str, part: float):
    content = sound(tone(2.0), kind)
    with pytest.raises((UnreadableMedia, UnsupportedMedia)):
        decode(content[: int(len(content) * part)])


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_long_recording_is_refused_with_both_lengths(kind: str):
    with pytest.raises(MediaLimitExceeded) as caught:
        decode(sound(tone(3.0, 8_000), kind, rate=8_000), max_audio_seconds=2.0)
    assert caught.value.metadata["limit"] == "max_audio_seconds"
    assert caught.value.metadata["maximum"] == "2"
    assert float(caught.value.metadata["actual"]) > 2


def test_an_hour_of_silence_in_a_small_file_is_refused_before_it_is_unpacked():
    content = sound(np.zeros(3_600 * 8_000, np.int16), "FLAC", rate=8_000)
    assert len(content) < 1 << 20
    with pytest.raises(MediaLimitExceeded):
        decode(content)


def test_samples_of_all_channels_are_counted():
    with pytest.raises(MediaLimitExceeded) as caught:
        decode(sound(np.zeros((1_000, 8))), max_audio_samples=7_999)
    assert caught.value.metadata["limit"] == "max_audio_samples"


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_resample", "_window"):
        monkeypatch.setattr(cutting, name, lambda *_: pytest.fail("it was begun"))


TINY = {"n_mels": 8, "n_fft": 64, "win_length": 64, "hop_length": 16_384, "window_seconds": 0.004}


@pytest.mark.usefixtures("no_work")
def test_more_windows_than_are_made_are_refused_before_any_is():
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


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("setting", ["max_tensor_bytes", "max_message_bytes"])
def test_windows_too_large_for_an_answer_are_refused_before_they_are_made(setting: str):
    wide = sound_contract(hop_seconds=0.1, n_mels=512, hop_length=16)
    with pytest.raises(MediaLimitExceeded) as caught:
        read(sound(tone(5)), wide, **{setting: 1 << 20})
    assert caught.value.metadata["limit"] == setting


def test_a_rate_out_of_this_world_is_refused():
    with pytest.raises(UnsupportedMedia):
        decode(sound(tone(), rate=2_000_000_000))
