"""Loaders of pictures: each layout is read, and what is wrong with it is named."""

import logging

import numpy as np
import pytest
import torch

from pellucid.cards import Card
from tests.tiny_sets import SIDE, XRAY_CARD, picture
from training.datasets.kermany import Kermany
from training.datasets.medmnist import MedMnist
from training.datasets.nih14 import Nih14
from training.datasets.pictures import BadData, Pictures, check_splits

CARD = Card.model_validate(XRAY_CARD)
FINDINGS = Card.model_validate(
    {**XRAY_CARD, "labels": ["mass", "edema", "nodule"], "output": {"activation": "sigmoid"}}
)


def test_anything_but_normal_is_the_second_label(kermany):
    pictures = Kermany(kind="kermany").load(kermany, "val", CARD)
    assert pictures.images.shape == (8, 1, SIDE, SIDE) and pictures.images.dtype == torch.uint8
    assert pictures.targets[:, 0].tolist() == [0, 1, 0, 1] * 2
    assert set(pictures.groups) == {"normal", "bacteria", "virus"}
    assert pictures.owners[:2] == ("val-0", "val-0")


def test_a_network_of_two_logits_gets_two_targets(kermany):
    softmax = Card.model_validate({**XRAY_CARD, "output": {"activation": "softmax"}})
    targets = Kermany(kind="kermany").load(kermany, "val", softmax).targets
    assert targets[:2].tolist() == [[1, 0], [0, 1]]


def test_a_corrupt_picture_is_named_and_left_out(kermany, caplog):
    (kermany / "kermany/val/normal-0.jpeg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        pictures = Kermany(kind="kermany").load(kermany, "val", CARD)
    assert len(pictures) == len(pictures.owners) == 7
    assert "normal-0.jpeg" in caplog.text and "1 of 8" in caplog.text


def test_a_missing_column_is_named(kermany):
    (kermany / "kermany/manifest.csv").write_text("path,label,split\na,b,train\n")
    with pytest.raises(BadData, match="patient"):
        Kermany(kind="kermany").load(kermany, "train", CARD)


def test_a_patient_in_two_splits_stops_the_training(kermany):
    training = Kermany(kind="kermany").load(kermany, "train", CARD)
    with pytest.raises(BadData, match="train-0"):
        check_splits({"train": training, "val": training})


def test_a_label_without_examples_stops_the_training(kermany):
    training = Kermany(kind="kermany").load(kermany, "train", CARD)
    normal = Pictures(training.images, 0 * training.targets, training.owners, training.groups)
    with pytest.raises(BadData, match="present in no picture"):
        check_splits({"train": normal})


@pytest.mark.parametrize("colours", [(), (3,)])
def test_medmnist_files_hold_grey_or_coloured_pictures(tmp_path, colours):
    images = np.zeros((4, 28, 28, *colours), np.uint8)
    labels = np.array([[0], [1], [1], [0]], np.uint8)
    np.savez(tmp_path / "set.npz", val_images=images, val_labels=labels)
    source = MedMnist(kind="medmnist", file="set.npz")
    pictures = source.load(tmp_path, "val", CARD)
    assert pictures.images.shape == (4, *(colours or (1,)), 28, 28)
    assert pictures.targets[:, 0].tolist() == [0, 1, 1, 0]
    with pytest.raises(BadData, match="test_images"):
        source.load(tmp_path, "test", CARD)


def test_findings_become_a_target_each_from_the_best_file_there_is(tmp_path):
    picture(tmp_path / "nih14/small/a.png", False, 0)
    picture(tmp_path / "nih14/large/b.png", False, 1)
    (tmp_path / "nih14/manifest.csv").write_text(
        "path,path256,split,patient,findings,source\n"
        "small/a.png,,train,1,No Finding,one\n"
        "none.png,large/b.png,train,2,Mass|Edema|Hernia,two\n"
    )
    pictures = Nih14(kind="nih14").load(tmp_path, "train", FINDINGS)
    assert pictures.targets.tolist() == [[0, 0, 0], [1, 1, 0]]
    assert pictures.owners == ("1", "2") and pictures.groups == ("one", "two")
    with pytest.raises(BadData, match="name none"):
        Nih14(kind="nih14").load(tmp_path, "train", CARD)
