import numpy as np
import pytest

from explain_service.segmentation import (
    MAX_SEGMENTS,
    SEGMENTERS,
    expected_segments,
    resolve_segmentation,
    segment,
    segmentation_libraries,
)
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.cards import Card
from pellucid.errors import InvalidArgument
from pellucid.parameters import parameters_of
from tests.support.cards import COLOUR, GREY, SPEECH, card

FIELD = "options.segmentation"


def resolved(model: Card, name: str = "", **parameters: float) -> pb.Segmentation:
    message = pb.Segmentation()
    if name:
        chosen = getattr(message, name)
        chosen.SetInParent()
        for key, value in parameters.items():
            setattr(chosen, key, value)
    return resolve_segmentation(model.preprocess, message, FIELD)


def test_the_segmenters_are_those_of_the_contract() -> None:
    fields = pb.Segmentation.DESCRIPTOR.oneofs_by_name["segmentation"].fields
    assert list(SEGMENTERS) == [field.name for field in fields]
    messages = [segmenter.message.DESCRIPTOR for segmenter in SEGMENTERS.values()]
    assert messages == [field.message_type for field in fields]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_parameter_of_a_segmentation_is_described_with_its_range(name: str) -> None:
    for parameter in parameters_of(SEGMENTERS[name].message.DESCRIPTOR):
        assert parameter.description
        assert parameter.minimum is not None
        assert parameter.maximum is not None


@pytest.mark.parametrize("model", [GREY, COLOUR, SPEECH], ids=["grey", "colour", "speech"])
@pytest.mark.parametrize("name", ["", *SEGMENTERS])
def test_segments_are_numbered_without_gaps_and_the_same_each_time(model: Card, name: str) -> None:
    chosen = resolved(model, name)
    image = np.random.default_rng(1).normal(size=model.preprocess.shape).astype(np.float32)
    first, again = (segment(model.preprocess, chosen, image, seed=5) for _ in range(2))
    assert first.dtype == np.uint16
    assert first.ndim == 2
    assert np.array_equal(np.unique(first), np.arange(int(first.max()) + 1))
    assert first.tobytes() == again.tobytes()


def test_every_value_is_known_once_a_segmentation_is_resolved() -> None:
    slic = resolved(GREY).slic
    assert (slic.segments, slic.compactness) == (50, pytest.approx(0.1))
    assert resolved(COLOUR).slic.compactness == pytest.approx(10)
    assert resolved(GREY, "slic").slic.compactness == pytest.approx(0.1)
    assert resolved(SPEECH) == pb.Segmentation(grid=pb.Grid(rows=8, columns=8))


def test_a_value_that_is_out_of_range_is_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolved(GREY, "grid", rows=65)
    assert caught.value.field == "options.segmentation.grid.rows"
    assert caught.value.remedy == "choose 1 to 64 rows"


def test_a_flat_picture_can_be_cut() -> None:
    image = np.zeros(GREY.preprocess.shape, np.float32)
    assert segment(GREY.preprocess, resolved(GREY), image, seed=0).shape == (32, 32)


def test_a_grid_gives_as_many_segments_as_expected() -> None:
    chosen = resolved(GREY, "grid", rows=4, columns=5)
    image = np.zeros(GREY.preprocess.shape, np.float32)
    assert segment(GREY.preprocess, chosen, image, seed=0).max() + 1 == 20
    assert expected_segments(chosen) == 20


def test_more_segments_than_can_be_told_apart_are_refused() -> None:
    large = card(height=256, width=256)
    noise = np.random.default_rng(0).random(large.preprocess.shape, np.float32)
    chosen = resolved(large, "quickshift", kernel_size=1, max_distance=1, ratio=1)
    with pytest.raises(InvalidArgument) as caught:
        segment(large.preprocess, chosen, noise, seed=0)
    assert caught.value.field == "options.segmentation.quickshift"
    assert int(caught.value.metadata["segments"]) > MAX_SEGMENTS


@pytest.mark.parametrize(("name", "libraries"), [("slic", ("scikit-image",)), ("grid", ())])
def test_libraries_are_those_that_cut(name: str, libraries: tuple[str, ...]) -> None:
    assert segmentation_libraries(resolved(GREY, name)) == libraries
