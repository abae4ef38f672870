"""The page needs nothing but itself, says what its numbers mean, and escapes what it is given."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from pellucid.client import Comparison, Result
from pellucid.rendering import page_html
from pellucid.rendering.scenes import scene_of
from tests.answers import METHODS
from tests.fake_gateway import FakeGateway
from tests.unit.rendering.conftest import collected

_VOID = {"meta", "input", "br", "link", "img"}


class _Balance(HTMLParser):
    """Fails where a tag is closed that was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(result: Result, **options: object) -> str:
    return page_html(result, scene_of(result.explained), "a file", **options)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_self_contained(film: Result, clip: Result) -> None:
    for result in (film, clip):
        text = page(result)
        parser = _Balance()
        parser.feed(text)
        assert parser.open == []
        outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']*)""", text)
        assert outside == []
        assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_the_page_says_what_matters(film: Result) -> None:
    text = page(film)
    for part in ("Prediction: other", "Why “other”", "not for diagnosis", "R² 0.62", "fair"):
        assert part in text
    assert "10.7% of the score&#39;s change from the baseline is unaccounted for" in text
    assert "the gap is large: ask for more steps" in text
    assert "Window" not in text


def test_the_page_of_sound_has_axes_and_windows(clip: Result) -> None:
    text = page(clip)
    for part in ("seconds", "1 kHz", "2 (explained)", "The recording ends at the dashed line"):
        assert part in text


def test_methods_without_a_map_are_named(gateway: FakeGateway) -> None:
    gateway.absent = frozenset({"occlusion"})
    text = page(collected("xray", gateway), asked=METHODS)
    assert text.count("no map came back") == 2  # also Grad-CAM, which is not available


def test_a_map_of_zeros_has_no_scale(gateway: FakeGateway) -> None:
    gateway.zero = frozenset(METHODS)
    text = page(collected("xray", gateway))
    assert "no scale: the map is zero everywhere" in text
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()


def test_names_are_escaped(film: Result) -> None:
    target = replace(film.explained.targets[0], label="<script>alert(1)</script>")
    explanations = tuple(replace(one, target=target) for one in film.explanations)
    explained = replace(film.explained, targets=(target,))
    hostile = Result(explained, explanations, film.comparison)
    text = page_html(hostile, scene_of(explained), '"><img src=x onerror=alert(1)>')
    assert "<script>alert" not in text
    assert "<img" not in text


def test_maps_that_cannot_be_compared_say_so(film: Result) -> None:
    assert film.comparison is not None
    (first, *rest) = film.comparison.agreements
    first = replace(first, rank_correlation=None, top_overlap=None)
    pairs = Comparison((first, *rest))
    text = page_html(Result(film.explained, film.explanations, pairs), scene_of(film.explained), "")
    assert "none · none" in text
