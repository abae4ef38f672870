"""Parameters, baselines, segments, comparison, progress: what the methods rest on."""

import threading
from typing import Any

import numpy as np
import pytest
from explain_service.perturbation.partition_shap import balanced_tree
from explain_service.tick import Cancelled, Tick

from explain_service.baselines import make_baseline, resolve_baseline
from explain_service.comparison import compare
from explain_service.methods import METHODS, decode_methods, encode_method
from explain_service.randomness import random_state
from explain_service.segmentation import (
    SEGMENTATIONS,
    decode_segmentation,
    encode_segmentation,
    segment,
)
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.cards import Card
from pellucid.errors import InvalidArgument
from pellucid.serving.deadline import Deadline
from tests.models import IMAGE, SOUND

NAN = float("nan")


def card(**contract: Any) -> Card:
    chosen = {**(SOUND if contract.get("kind") == "log_mel" else IMAGE), **contract}
    return Card.model_validate(
        {
            "name": "model",
            "version": "1",
            "title": "",
            "description": "",
            "modality": "photo",
            "labels": ["a", "b"],
            "output": {"activation": "softmax"},
            "preprocess": chosen,
        }
    )


GREY = card()
COLOUR = card(channels=3, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1])
SPEECH = card(kind="log_mel", mean=-40.0, std=20.0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_message_with_the_same_fields(name: str) -> None:
    message = getattr(pb.Method(), name)
    assert set(METHODS[name].model_fields) == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_every_segmentation_has_a_message_with_the_same_fields(name: str) -> None:
    message = getattr(pb.Segmentation(), name)
    assert set(SEGMENTATIONS[name].model_fields) == set(message.DESCRIPTOR.fields_by_name)


def test_the_table_of_methods_is_the_oneof_of_the_contract() -> None:
    assert list(METHODS) == [field.name for field in pb.Method.DESCRIPTOR.oneofs[0].fields]


def test_what_is_not_set_takes_its_default_and_is_in_the_receipt() -> None:
    (lime,) = decode_methods([pb.Method(lime=pb.Lime(samples=100))], "methods")
    assert encode_method(lime) == pb.Method(lime=pb.Lime(samples=100, kernel_width=0.25, ridge=1))


@pytest.mark.parametrize(
    ("method", "field"),
    [
        (pb.Method(lime=pb.Lime(samples=9)), "methods[0].lime.samples"),
        (pb.Method(lime=pb.Lime(kernel_width=NAN)), "methods[0].lime.kernel_width"),
        (pb.Method(lime=pb.Lime(ridge=float("inf"))), "methods[0].lime.ridge"),
        (pb.Method(occlusion=pb.Occlusion(stride=0)), "methods[0].occlusion.stride"),
        (pb.Method(kernel_shap=pb.KernelShap(samples=1 << 31)), "methods[0].kernel_shap.samples"),
        (pb.Method(), "methods[0]"),
    ],
)
def test_a_value_that_is_out_of_range_is_named(method: pb.Method, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_methods([method], "methods")
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize("count", [0, 17])
def test_a_request_has_one_to_sixteen_methods(count: int) -> None:
    with pytest.raises(InvalidArgument):
        decode_methods([pb.Method(lime=pb.Lime())] * count, "methods")


def test_parameters_are_described_with_range_unit_and_default() -> None:
    (samples, *_) = METHODS["lime"].describe()
    assert (samples.type, samples.default_value, samples.unit) == ("integer", "500", "samples")
    assert (samples.minimum, samples.maximum) == (10, 10_000)


def test_black_is_the_pixel_value_zero() -> None:
    image = np.zeros(COLOUR.preprocess.shape, np.float32)
    black = make_baseline(COLOUR, pb.BASELINE_BLACK, image)
    assert black.shape == (1, 3, 1, 1)
    assert black.ravel() == pytest.approx([-2.5, -2, -3])


def test_silence_is_the_lowest_power() -> None:
    chosen = resolve_baseline(SPEECH, pb.BASELINE_UNSPECIFIED, "")
    silence = make_baseline(SPEECH, chosen, np.ones(SPEECH.preprocess.shape, np.float32))
    assert silence.shape == (1, 1, 1, 1)
    assert silence.item() == pytest.approx(-2)


def test_the_mean_is_that_of_each_channel_of_the_input() -> None:
    image = np.random.default_rng(0).random(COLOUR.preprocess.shape, np.float32)
    mean = make_baseline(COLOUR, resolve_baseline(COLOUR, pb.BASELINE_UNSPECIFIED, ""), image)
    assert mean.ravel() == pytest.approx(image.mean(axis=(1, 2)))


def test_blur_keeps_the_channels_apart() -> None:
    image = np.zeros(COLOUR.preprocess.shape, np.float32)
    image[0, 16, 16] = 1
    blurred = make_baseline(COLOUR, pb.BASELINE_BLUR, image)
    assert blurred.shape == (1, 3, 32, 32)
    assert 0 < blurred[0, 0].max() < 0.1
    assert not blurred[0, 1:].any()


@pytest.mark.parametrize(("model", "wrong"), [(GREY, "SILENCE"), (SPEECH, "BLACK")])
def test_a_baseline_of_the_other_kind_is_refused(model: Card, wrong: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve_baseline(model, pb.Baseline.Value(f"BASELINE_{wrong}"), "options.baseline")
    assert caught.value.field == "options.baseline"


@pytest.mark.parametrize("model", [GREY, COLOUR, SPEECH], ids=["grey", "colour", "speech"])
@pytest.mark.parametrize("name", ["", *SEGMENTATIONS])
def test_segments_are_numbered_without_gaps_and_the_same_each_time(model: Card, name: str) -> None:
    message = pb.Segmentation()
    if name:
        getattr(message, name).SetInParent()
    chosen = decode_segmentation(model, message, "options.segmentation")
    image = np.random.default_rng(1).normal(size=model.preprocess.shape).astype(np.float32)
    first, again = (segment(model, chosen, image, seed=5) for _ in range(2))
    assert first.dtype == np.uint16
    assert first.ndim == 2
    assert np.array_equal(np.unique(first), np.arange(int(first.max()) + 1))
    assert first.tobytes() == again.tobytes()


def test_the_segmentation_of_a_receipt_has_every_value() -> None:
    chosen = decode_segmentation(GREY, pb.Segmentation(), "")
    assert encode_segmentation(chosen).slic.compactness == pytest.approx(0.1)
    sound = decode_segmentation(SPEECH, pb.Segmentation(), "")
    assert encode_segmentation(sound) == pb.Segmentation(grid=pb.Grid(rows=8, columns=8))


def test_a_flat_picture_can_be_cut() -> None:
    chosen = decode_segmentation(GREY, pb.Segmentation(), "")
    flat = segment(GREY, chosen, np.zeros(GREY.preprocess.shape, np.float32), seed=0)
    assert flat.shape == (32, 32)


def test_the_tree_of_segments_is_balanced() -> None:
    segments = np.arange(50, dtype=np.uint16).reshape(5, 10)
    tree = balanced_tree(segments)
    assert tree.shape == (49, 4)
    assert tree[-1, 2:].tolist() == [6, 50]
    children = tree[:, :2].ravel()
    assert sorted(children.tolist()) == list(range(98))
    assert all(tree[row, :2].max() < 50 + row for row in range(49))


def test_equal_maps_agree_and_opposite_maps_do_not() -> None:
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    same, opposite, third = compare("a", [("x", values), ("y", values), ("z", -values)])
    assert (same.rank_correlation, same.top_overlap) == (pytest.approx(1), 1)
    assert (opposite.rank_correlation, opposite.top_overlap) == (pytest.approx(-1), 0)
    assert third.method_b == "z"


def test_a_constant_map_has_no_ranks() -> None:
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    (pair,) = compare("a", [("x", values), ("y", np.zeros_like(values))])
    assert pair.rank_correlation is None
    assert pair.top_overlap is None


def test_the_top_of_a_sparse_map_is_what_it_found_and_not_the_whole_plane() -> None:
    here, there, both = (np.zeros((32, 32), np.float32) for _ in range(3))
    here[:4, :4] = there[20:24, 20:24] = 1
    both[:4, :4] = both[20:24, 20:24] = 1
    apart, half, _ = compare("a", [("x", here), ("y", there), ("z", both)])
    assert apart.top_overlap == 0
    assert half.top_overlap == pytest.approx(0.5)


def test_any_seed_of_64_bits_starts_a_sequence_of_its_own() -> None:
    drawn = {random_state(seed).randint(1 << 30) for seed in (0, 1, 1 << 32, 2**64 - 1)}
    assert len(drawn) == 4


def test_a_tick_estimates_what_is_left() -> None:
    tick = Tick(total=10)
    assert tick.remaining is None
    tick.step(5)
    assert tick.remaining == pytest.approx(tick.elapsed, abs=1e-3)


def test_a_tick_stops_when_nobody_waits_or_the_time_is_up() -> None:
    stop = threading.Event()
    tick = Tick(total=10, stop=stop, deadline=Deadline.after(-1))
    assert tick.out_of_time
    stop.set()
    with pytest.raises(Cancelled):
        tick.step(1)
