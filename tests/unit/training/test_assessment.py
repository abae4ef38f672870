"""A report on answers that are known beforehand."""

import numpy as np
import pytest
import torch

from pellucid.cards import Card
from tests.support.tiny_sets import SPEECH_CARD, XRAY_CARD
from training.assessment import Assessor, by_group
from training.card_file import put_measured
from training.datasets.clips import ALONE, Clips
from training.datasets.pictures import BadData, Pictures, targets_of
from training.examples import clip_examples, picture_examples
from training.figures import Cases

THRESHOLD = 0.5


def brightness(inputs):
    """The closed-form model: a bright picture is ill."""
    return torch.cat([x.mean(dim=(1, 2, 3)) for x in inputs]).sigmoid()[:, None].double().numpy()


def pictures(card, count=40) -> Pictures:
    rng = np.random.default_rng(0)
    ill = np.arange(count) % 2
    planes = rng.integers(0, 80, (count, 1, 16, 16)) + 150 * ill[:, None, None, None]
    return Pictures(
        torch.from_numpy(planes.astype(np.uint8)),
        targets_of(ill, card),
        tuple(f"patient {number // 2}" for number in range(count)),
        tuple(("healthy", "bacteria", "healthy", "virus")[number % 4] for number in range(count)),
    )


@pytest.fixture(scope="module")
def report():
    card = Card.model_validate(
        XRAY_CARD | {"operating_points": {"balanced": {"pneumonia": THRESHOLD}}}
    )
    return Assessor(card, brightness).assess(picture_examples(card, pictures(card)))


def test_a_model_that_is_always_right_is_so_in_every_group(report):
    table = report.report["pneumonia"]
    assert table["auc"] == {"value": 1, "low": 1, "high": 1}
    assert (table["true_positives"], table["false_positives"]) == (20, 0)
    groups = table["by"]["group"]
    assert {name: group["cases"] for name, group in groups.items()} == {
        "healthy": 20,
        "bacteria": 10,
        "virus": 10,
    }
    assert all(group["recall"]["value"] == group["auc"]["value"] == 1 for group in groups.values())


def test_what_depends_on_brightness_suffers_from_exposure_alone(report):
    shifts = report.report["pneumonia"]["shifts"]
    assert shifts["sharpness"]["auc"]["value"] == 1
    assert shifts["strong exposure"]["balanced_accuracy"]["value"] < 1


def test_baselines_are_scored_and_the_darkest_is_far_from_neutral(report):
    baselines = report.report["pneumonia"]["baselines"]
    assert baselines["black"]["score"]["value"] == pytest.approx(1 / (1 + np.exp(2)), abs=1e-3)
    assert baselines["black"]["balanced_accuracy"] == 0.5
    assert baselines["mean"]["accuracy"] == 1, "the mean is as bright as the picture"
    assert max(report.neutrality, key=report.neutrality.get) == "black"


def test_hiding_parts_behind_the_pictures_mean_leaves_its_brightness(report):
    hidden = report.report["pneumonia"]["hidden"]
    assert [row["accuracy"] for row in hidden.values()] == [1] * 5


def test_a_group_with_both_classes_is_measured_by_itself():
    labels = np.array([0, 1] * 10)
    scores = np.where(np.arange(20) < 10, labels * 0.8 + 0.1, 0.9 - labels * 0.8)
    cases = Cases.of(labels, scores, [str(number) for number in range(20)])
    source = np.array(["one"] * 10 + ["other"] * 10)
    tables = by_group(cases, {"source": source, "label": labels.astype(str)}, 0.5)
    assert set(tables) == {"source"}, "a division that repeats the label says nothing"
    assert tables["source"]["one"]["auc"]["value"] == 1
    assert tables["source"]["other"]["balanced_accuracy"]["value"] == 0


def test_several_findings_have_a_mean_and_unknown_ones_do_not_count():
    card = Card.model_validate(
        XRAY_CARD | {"labels": ["a", "b", "c"], "output": {"activation": "sigmoid"}}
    )
    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1).expand(8, 1, 16, 16) * 20
    rising = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1.0])
    targets = torch.stack([rising, 1 - rising, torch.full((8,), torch.nan)], 1)
    examples = picture_examples(card, Pictures(images, targets, tuple("abcdefgh"), ("x",) * 8))
    found = Assessor(card, lambda x: np.repeat(brightness(x), 3, axis=1)).assess(examples)
    assert found.report["a"]["auc"]["value"] == 1
    assert found.report["b"]["auc"]["value"] == 0
    assert found.report["c"] == {"positives": 0, "negatives": 0}
    assert found.report["macro_auc"]["value"] == 0.5


def test_clips_are_measured_by_engine_and_family_and_through_devices():
    card = Card.model_validate(SPEECH_CARD)
    rng = np.random.default_rng(0)
    loud = np.array([300, 9_000] * 8)
    clips = Clips(
        (rng.standard_normal((16, 4_000)) * loud[:, None]).clip(-32_768, 32_767).astype(np.int16),
        np.array([0, 1] * 8),
        ("tiny",) * 16,
        ("reading", "world", "room", "vits") * 4,
        tuple(str(number) for number in range(16)),
        np.full(16, ALONE),
        families=("human", "vocoder", "human", "tts") * 4,
    )

    def loudness(inputs):
        logits = torch.cat([x.mean(dim=(1, 2, 3)) for x in inputs]).double() + 1
        return torch.stack([(-logits).sigmoid(), logits.sigmoid()], 1).numpy()

    table = Assessor(card, loudness).assess(clip_examples(card, clips)).report["fake"]
    assert table["auc"]["value"] == 1
    assert set(table["by"]["source"]) == {"reading", "room", "vits", "world"}
    assert set(table["by"]["family"]) == {"human", "vocoder", "tts"}
    assert {"room", "codec", "noise", "band limit"} <= set(table["shifts"])
    assert set(table["baselines"]) == {"silence", "mean", "blur"}


def test_pictures_with_one_label_are_no_test_of_a_model_that_finds_several():
    card = Card.model_validate(XRAY_CARD | {"output": {"activation": "sigmoid"}})
    with pytest.raises(BadData, match="one label"):
        targets_of(np.array([0, 1]), card)


def test_what_people_wrote_in_a_card_stays_as_it_is(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text(
        "name: x  # mine\n# Measured by `an older version`; and so on.\nquality: {a: 1}\n"
    )
    put_measured(path, {"default_baseline": "blur"})
    put_measured(path, {"quality": {"b": 2}})
    lines = path.read_text().splitlines()
    assert lines[0] == "name: x  # mine"
    assert lines[2:] == ["quality: {b: 2}", "default_baseline: blur"]
