"""Speak the clips of this folder with free engines from Debian, and cut them to size.

apt-get install espeak-ng flite festival festvox-kallpc16k
python samples/make_speech.py
"""

import subprocess
import tempfile
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
RATE = 16_000
Clip = NDArray[np.float32]
SHORT = "Every answer comes with its reasons."
LONG = (
    "This clip is longer than what the model sees at once, so it is cut into windows, "
    "and each window has a score of its own."
)


def speak(command: list[str], text: str) -> Clip:
    """Run an engine that writes a WAV file; `{}` in its command stands for the file's name."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        given = [part.format(file.name) for part in command]
        if given[0] == "text2wave":
            subprocess.run(given, input=text.encode(), check=True)
        else:
            subprocess.run([*given, text], check=True)
        samples, _ = librosa.load(file.name, sr=RATE, mono=True)
    loud: Clip = samples * (0.5 / np.abs(samples).max())
    return loud


def main() -> None:
    """Write four clips: FLAC, WAV, MP3 and OGG."""
    espeak = speak(["espeak-ng", "-v", "en-gb", "-w", "{}"], SHORT)
    flite = speak(["flite", "-voice", "slt", "-o", "{}", "-t"], SHORT)
    festival = speak(["text2wave", "-o", "{}"], SHORT)
    several = speak(["espeak-ng", "-v", "en-us+f3", "-s", "150", "-w", "{}"], LONG)
    soundfile.write(FOLDER / "speech_espeak.flac", espeak[: 2 * RATE], RATE)
    soundfile.write(FOLDER / "speech_flite.wav", flite[: 2 * RATE], RATE, subtype="PCM_16")
    soundfile.write(FOLDER / "speech_festival.ogg", festival[: 2 * RATE], RATE)
    soundfile.write(FOLDER / "speech_several_windows.mp3", several, RATE)


if __name__ == "__main__":
    main()
