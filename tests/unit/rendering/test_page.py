"""The page needs nothing but itself, says what its numbers mean, and escapes what it is given."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pellucid.client import Client, Comparison, IncompleteExplanation, Result
from pellucid.errors import QueueFull
from pellucid.rendering import page_html
from pellucid.rendering.canvas import canvas_of
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_responses import METHODS
from tests.unit.rendering.conftest import FILM

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
    return page_html(result, canvas_of(result.input), "a file", **options)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_self_contained(film: Result, clip: Result) -> None:
    for result in (film, clip):
        text = page(result)
        parser = _Balance()
        parser.feed(text)
        assert parser.open == []
        outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']*)""", text)
        assert outside == []
        assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_the_page_warns_of_a_file_unlike_the_training_data(film: Result, clip: Result) -> None:
    assert "is unlike what speech was trained on" in page(clip)
    assert "is unlike" not in page(film)


def test_the_page_says_what_matters(film: Result) -> None:
    text = page(film)
    for part in (
        "Prediction: other",
        "Why “other”",
        "not for diagnosis",
        "R² 0.62",
        "0.875",
        "threshold (balanced)",
        "fair",
        "LIME",
    ):
        assert part in text
    assert "10.7% of the score&#39;s change is unaccounted for" in text
    assert "the gap is large: take more steps" in text
    assert "Window" not in text


def test_the_page_of_sound_has_axes_and_windows(clip: Result) -> None:
    text = page(clip)
    for part in ("seconds", "1 kHz", "2 (explained)", "The recording ends at the dashed line"):
        assert part in text


def test_a_method_that_failed_says_why(client: Client, gateway: FakeGateway) -> None:
    gateway.failing = frozenset({"occlusion"})
    text = page(client.explain_all(FILM))
    assert "no map: Triton does not answer; try again shortly" in text


def test_an_explanation_that_ended_early_says_so(client: Client, gateway: FakeGateway) -> None:
    gateway.breaks_after["occlusion"] = QueueFull("full")
    with pytest.raises(IncompleteExplanation) as caught:
        client.explain_all(FILM, methods=["lime", "occlusion"])
    text = page(caught.value.result, ended_early=str(caught.value.error))
    assert "The explanation ended early: full" in text
    assert text.count("unfinished: the last map") == 1


def test_a_map_of_zeros_has_no_scale(client: Client, gateway: FakeGateway) -> None:
    gateway.zero = frozenset(METHODS)
    text = page(client.explain_all(FILM))
    assert "no scale: the map is zero everywhere" in text
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()


def test_names_are_escaped(film: Result) -> None:
    target = replace(film.targets[0], label="<script>alert(1)</script>")
    explanations = tuple(replace(one, target=target) for one in film.explanations)
    hostile = replace(film, targets=(target,), explanations=explanations)
    text = page_html(hostile, canvas_of(film.input), '"><img src=x onerror=alert(1)>')
    assert "<script>alert" not in text
    assert "<img" not in text


def test_maps_that_cannot_be_compared_say_so(film: Result) -> None:
    assert film.comparison is not None
    (first, *rest) = film.comparison.agreements
    first = replace(first, rank_correlation=None, top_overlap=None)
    text = page(replace(film, comparison=Comparison((first, *rest))))
    assert "none · none" in text
