"""Loaders of pictures: each layout is read, and what is wrong with it is named."""

import logging

import numpy as np
import pytest
import torch

from pellucid.cards import Card
from tests.support.tiny_sets import SIDE, XRAY_CARD, picture
from training.datasets.chexpert import CheXpert
from training.datasets.folders import PictureFolders
from training.datasets.kermany import Kermany
from training.datasets.medmnist import MedMnist
from training.datasets.nih14 import Nih14
from training.datasets.pictures import BadData, Pictures, check_splits
from training.datasets.splits import split_of

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
    assert pictures.left_out == 1


def test_a_missing_column_is_named(kermany):
    (kermany / "kermany/manifest.csv").write_text("path,label,split\na,b,train\n")
    with pytest.raises(BadData, match="patient"):
        Kermany(kind="kermany").load(kermany, "train", CARD)


def test_a_row_that_is_too_short_is_named(kermany):
    (kermany / "kermany/manifest.csv").write_text("path,label,split,patient\na,b,c,d\ne,f\n")
    with pytest.raises(BadData, match="row 2 has fewer columns"):
        Kermany(kind="kermany").load(kermany, "train", CARD)


def test_a_split_that_nothing_is_in_is_no_data(kermany):
    with pytest.raises(BadData, match="this split"):
        Kermany(kind="kermany").load(kermany, "elsewhere", CARD)


def test_a_patient_in_two_splits_stops_the_training(kermany):
    training = Kermany(kind="kermany").load(kermany, "train", CARD)
    with pytest.raises(BadData, match="train-0"):
        check_splits({"train": training, "val": training})


def test_a_label_without_examples_stops_the_training(kermany):
    training = Kermany(kind="kermany").load(kermany, "train", CARD)
    normal = Pictures(training.images, 0 * training.targets, training.owners, training.groups)
    with pytest.raises(BadData, match="present in no picture"):
        check_splits({"train": normal})
    with pytest.raises(BadData, match="one class only"):
        check_splits({"train": training, "val": normal})


def test_the_same_picture_of_two_patients_in_two_splits_stops_the_training(kermany):
    copied = (kermany / "kermany/train/normal-0.jpeg").read_bytes()
    (kermany / "kermany/val/normal-2.jpeg").write_bytes(copied)
    training, validation = (
        Kermany(kind="kermany").load(kermany, split, CARD) for split in ("train", "val")
    )
    with pytest.raises(BadData, match="train-0 in train and val-1 in val have the same content"):
        check_splits({"train": training, "val": validation})


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


def test_what_medmnist_has_in_two_splits_is_not_learnt_from(tmp_path):
    images = np.arange(4 * 28 * 28).reshape(4, 28, 28).astype(np.uint8)
    images[:, 0, 0] = range(4)
    labels = np.array([[0], [1], [1], [0]], np.uint8)
    splits = {"train": slice(0, 3), "val": slice(2, 3), "test": slice(3, 4)}
    arrays = {f"{name}_images": images[rows] for name, rows in splits.items()}
    labels_of = {f"{name}_labels": labels[rows] for name, rows in splits.items()}
    np.savez(tmp_path / "set.npz", **arrays, **labels_of)
    training = MedMnist(kind="medmnist", file="set.npz").load(tmp_path, "train", CARD)
    assert training.owners == ("train 0", "train 1") and training.left_out == 1


def test_what_is_wrong_with_a_medmnist_file_is_named(tmp_path):
    source = MedMnist(kind="medmnist", file="set.npz")
    with pytest.raises(BadData, match=r"set\.npz"):
        source.load(tmp_path, "val", CARD)
    (tmp_path / "set.npz").write_bytes(b"PK no archive")
    with pytest.raises(BadData, match=r"set\.npz"):
        source.load(tmp_path, "val", CARD)
    images = np.zeros((2, 28, 28), np.uint8)
    np.savez(tmp_path / "set.npz", val_images=images, val_labels=np.array([[0], [2]], np.uint8))
    with pytest.raises(BadData, match="label 2"):
        source.load(tmp_path, "val", CARD)


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


@pytest.fixture
def chexpert(tmp_path):
    """Ten patients with a frontal and a lateral film each, and one in the test split."""
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Mass,Edema,Nodule"
    training, test = [header], [header]
    for number in range(11):
        rows, part = (test, "valid") if number == 10 else (training, "train")
        for view in ("frontal", "lateral"):
            name = f"{part}/patient{number:05}/study1/view1_{view}.jpg"
            picture(tmp_path / "CheXpert-v1.0-small" / name, False, number)
            rows.append(f"CheXpert-v1.0-small/{name},F,60,{view.title()},AP,,1.0,-1.0,")
    for name, rows in (("train.csv", training), ("valid.csv", test)):
        (tmp_path / "CheXpert-v1.0-small" / name).write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "edema"), [("positive", 1.0), ("negative", 0.0), ("ignored", float("nan"))]
)
def test_uncertain_findings_of_chexpert_count_as_the_recipe_says(chexpert, policy, edema):
    source = CheXpert(kind="chexpert", uncertain=policy, val=0.3)
    targets = source.load(chexpert, "train", FINDINGS).targets
    torch.testing.assert_close(targets[0], torch.tensor([1, edema, 0]), equal_nan=True)


def test_patients_of_chexpert_stay_together_and_its_own_validation_is_the_test_split(chexpert):
    source = CheXpert(kind="chexpert", val=0.3, frontal_only=False)
    splits = {name: source.load(chexpert, name, FINDINGS) for name in ("train", "val", "test")}
    owners = {name: set(pictures.owners) for name, pictures in splits.items()}
    assert len(owners["train"] | owners["val"]) == 10 and not owners["train"] & owners["val"]
    assert owners["test"] == {"patient00010"} and len(splits["test"]) == 2
    with pytest.raises(BadData, match="pneumonia"):
        source.load(chexpert, "train", CARD)
    table = chexpert / "CheXpert-v1.0-small/train.csv"
    table.write_text(table.read_text().replace(",-1.0,", ",maybe,"))
    with pytest.raises(BadData, match="maybe"):
        source.load(chexpert, "train", FINDINGS)


@pytest.mark.parametrize("own_splits", [True, False])
def test_a_folder_for_each_label_is_a_data_set(tmp_path, own_splits):
    for column, label in enumerate(CARD.labels):
        for number in range(20):
            split = ("train" if number % 2 else "val") if own_splits else ""
            path = tmp_path / "mine" / split / label / f"{number}.PNG"
            picture(path, False, 20 * column + number)
    source = PictureFolders(kind="picture_folders", folder="mine", val=0.5)
    training, validation = (source.load(tmp_path, split, CARD) for split in ("train", "val"))
    check_splits({"train": training, "val": validation})
    assert set(training.groups) == set(CARD.labels)
    if own_splits:
        assert len(training) == len(validation) == 20
    with pytest.raises(BadData, match="mass"):
        source.load(tmp_path, "train", FINDINGS)


def test_owners_are_divided_the_same_way_everywhere_and_in_these_shares():
    splits = [split_of(f"patient {number}", val=0.2, test=0.1) for number in range(5_000)]
    assert splits.count("val") == pytest.approx(1_000, abs=100)
    assert splits.count("test") == pytest.approx(500, abs=75)
    assert split_of("patient 1", 0.2, 0.1) == splits[1]
    assert [split_of(f"patient {n}", 0.2, 0.1, seed=1) for n in range(50)] != splits[:50]
