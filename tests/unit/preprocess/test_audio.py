import struct
from typing import Any

import numpy as np
import pytest

from pellucid.errors import MediaLimitExceeded, UnreadableMedia, UnsupportedMedia
from preprocess_service import audio
from preprocess_service.media import AudioFacts, Recording
from preprocess_service.settings import PreprocessSettings
from preprocess_service.sniffing import identify
from tests.unit.preprocess.files import RATE, sound, tone


def decode(content: bytes, **settings: Any) -> Recording:
    return audio.decode(content, identify(content), PreprocessSettings(**settings))


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


def test_channels_are_mixed_by_their_mean():
    left, right = tone(), -0.5 * tone(hertz=880)
    recording = decode(sound(np.stack([left, right, left], axis=1), subtype="FLOAT"))
    assert recording.facts.channels == 3
    np.testing.assert_allclose(recording.samples, (2 * left + right) / 3, atol=1e-6)


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


@pytest.mark.parametrize("trailer", [b"", b"TAG" + bytes(125), bytes(5_000)])
def test_an_mp3_that_does_not_say_how_long_it_is_is_not_taken_for_cut_off(trailer: bytes):
    told = sound(tone(2.0), "MP3")
    untold = told.replace(b"Xing", bytes(4)) + trailer
    assert untold[: len(told)] != told
    assert len(decode(untold).samples)


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


def test_a_rate_out_of_this_world_is_refused():
    with pytest.raises(UnsupportedMedia):
        decode(sound(tone(), rate=2_000_000_000))
