"""Overlays are looked at as pixels: what is red where the map is positive, and the right way up."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pellucid.client import Affine, Result
from pellucid.rendering import overlay_png
from pellucid.rendering.canvas import PictureCanvas, SpectrogramCanvas, canvas_of
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_responses import picture, png


def redness(file: bytes) -> tuple[float, float]:
    """Centre of what is clearly red, left of the colour bar, as shares of the picture's size."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    red = (pixels[..., 0] - pixels[..., 2] > 90)[:, : int(pixels.shape[1] * 0.85)]
    rows, columns = np.nonzero(red)
    return float(columns.mean() / pixels.shape[1]), float(rows.mean() / pixels.shape[0])


def test_a_picture_keeps_its_orientation(film: Result) -> None:
    x, y = redness(overlay_png(film.get("occlusion"), canvas_of(film.input)))
    assert x < 0.45
    assert y < 0.45


def test_the_lowest_band_of_sound_is_at_the_bottom(clip: Result) -> None:
    x, y = redness(overlay_png(clip.get("occlusion"), canvas_of(clip.input)))
    assert x < 0.45
    assert y > 0.5


def test_the_original_is_drawn_where_it_can_be_read(film: Result) -> None:
    original = png(picture(260, 320))
    canvas = canvas_of(film.input, original)
    assert isinstance(canvas, PictureCanvas)
    assert canvas.backdrop.shape == (260, 320)
    assert canvas.map_place(224, 224) == pytest.approx((320, 260))
    assert canvas.backdrop_place(320, 260) == pytest.approx((320, 260))


@pytest.mark.parametrize("content", [None, b"", b"no picture", png(picture(10, 10))])
def test_what_the_model_saw_is_drawn_otherwise(film: Result, content: bytes | None) -> None:
    canvas = canvas_of(film.input, content)
    assert isinstance(canvas, PictureCanvas)
    assert canvas.backdrop.shape == (224, 224)
    assert (canvas.width, canvas.height) == (320, 260)
    assert canvas.backdrop_place(224, 224) == pytest.approx((320, 260))


def test_sixteen_bits_are_stretched_to_eight(film: Result) -> None:
    file = io.BytesIO()
    ramp = np.linspace(1000, 40_000, 260 * 320).reshape(260, 320).astype(np.uint16)
    Image.fromarray(ramp).save(file, "PNG")
    canvas = canvas_of(film.input, file.getvalue())
    assert (canvas.backdrop.min(), canvas.backdrop.max()) == (0, 255)


def test_large_originals_are_made_smaller(film: Result) -> None:
    facts = replace(film.prediction.facts, width=3000, height=2000)  # type: ignore[type-var]
    prediction = replace(film.prediction, facts=facts)
    changed = replace(film.input, prediction=prediction)
    canvas = canvas_of(changed, png(np.zeros((2000, 3000), np.uint8)))
    assert isinstance(canvas, PictureCanvas)
    assert canvas.backdrop.shape == (800, 1200)
    assert canvas.backdrop_place(1200, 800) == pytest.approx((3000, 2000))


def test_sound_knows_where_the_recording_ends(clip: Result) -> None:
    canvas = canvas_of(clip.input)
    assert isinstance(canvas, SpectrogramCanvas)
    assert (canvas.start_s, canvas.end_s) == pytest.approx((2.0, 4.0))
    assert canvas.recording_end_s == pytest.approx(3.4)


def test_a_recording_that_fills_its_window_has_no_padding(clip: Result) -> None:
    window = replace(clip.input.window, end_s=3.4)
    canvas = canvas_of(replace(clip.input, window=window))
    assert isinstance(canvas, SpectrogramCanvas)
    assert canvas.recording_end_s is None


def test_a_rotated_map_is_drawn_rotated(film: Result) -> None:
    turned = replace(film.input.window, to_original=Affine(0, -320 / 224, 320, 260 / 224, 0, 0))
    canvas = canvas_of(replace(film.input, window=turned), png(np.zeros((260, 320), np.uint8)))
    x, y = redness(overlay_png(film.get("occlusion"), canvas))
    assert x > 0.45
    assert y < 0.45


def test_all_zero_and_negative_maps_are_drawn(film: Result) -> None:
    canvas = canvas_of(film.input)
    explanation = film.get("occlusion")
    for values in (np.zeros_like(explanation.map), -np.abs(explanation.map)):
        file = overlay_png(replace(explanation, map=values), canvas)
        assert Image.open(io.BytesIO(file)).width > 600


def test_threads_may_draw_at_once(film: Result, gateway: FakeGateway) -> None:
    canvas = canvas_of(film.input)
    drawn = film.explanations[:2]
    alone = [overlay_png(explanation, canvas) for explanation in drawn]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda one: overlay_png(one, canvas), drawn))
    assert together == alone
