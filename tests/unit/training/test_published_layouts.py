"""Data sets as they are published: NIH's table and lists, Kermany's folders and file names."""

import pytest

from pellucid.cards import Card
from tests.support.tiny_sets import XRAY_CARD, picture
from training.datasets.kermany import Kermany
from training.datasets.nih14 import ChestXray14
from training.datasets.pictures import BadData, check_splits

CARD = Card.model_validate(XRAY_CARD)
FINDINGS = Card.model_validate(
    {
        **XRAY_CARD,
        "labels": ["effusion", "pleural_thickening"],
        "output": {"activation": "sigmoid"},
    }
)
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
SOURCE = ChestXray14(kind="chest_xray14", val=0.3)


@pytest.fixture
def nih(tmp_path):
    """Twelve patients with two films each; those of the last two are the test list."""
    folder = tmp_path / "ChestX-ray14"
    rows, names = [HEADER], []
    for number in range(24):
        patient, film = number // 2, number % 2
        name = f"{patient:08}_{film:03}.png"
        picture(folder / f"images_{1 + patient % 2:03}/images/{name}", film == 0, number)
        found = ("Effusion|Pleural_Thickening", "No Finding")[film]
        view = ("PA", "AP")[film]
        rows.append(f"{name},{found},{film},{patient},58,M,{view},2682,2749,0.143,0.143,")
        names.append(name)
    (folder / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(names[:20]))
    (folder / "test_list.txt").write_text("\n".join(names[20:]))
    return tmp_path


def test_the_lists_of_nih_split_the_films_and_patients_of_its_own_validate(nih):
    splits = {name: SOURCE.load(nih, name, FINDINGS) for name in ("train", "val", "test")}
    check_splits(splits)
    assert splits["test"].owners == ("10", "10", "11", "11")
    assert len(splits["train"]) + len(splits["val"]) == 20
    assert splits["test"].targets.tolist() == [[1, 1], [0, 0]] * 2
    assert splits["test"].groups == ("PA", "AP") * 2


def test_films_of_one_view_may_be_asked_for(nih):
    source = SOURCE.model_copy(update={"views": ("PA",)})
    assert set(source.load(nih, "test", FINDINGS).groups) == {"PA"}


def test_what_is_wrong_with_a_copy_of_nih_is_named(nih, caplog):
    folder = nih / "ChestX-ray14"
    (folder / "images_001/images/00000010_000.png").write_bytes(b"no picture")
    (folder / "images_002/images/00000011_001.png").unlink()
    pictures = SOURCE.load(nih, "test", FINDINGS)
    assert len(pictures) == 2 and pictures.left_out == 2
    assert "00000010_000.png" in caplog.text and "00000011_001.png" in caplog.text
    with pytest.raises(BadData, match="name none of normal, pneumonia"):
        SOURCE.load(nih, "test", CARD)
    (folder / "test_list.txt").write_text("00009999_000.png\n")
    with pytest.raises(BadData, match=r"00009999_000\.png"):
        SOURCE.load(nih, "test", FINDINGS)
    (folder / "test_list.txt").unlink()
    with pytest.raises(BadData, match=r"test_list\.txt"):
        SOURCE.load(nih, "test", FINDINGS)
    table = (folder / "Data_Entry_2017.csv").read_text().replace("Patient ID", "Person")
    (folder / "Data_Entry_2017.csv").write_text(table)
    with pytest.raises(BadData, match="no column Patient ID"):
        SOURCE.load(nih, "train", FINDINGS)


@pytest.fixture
def published(tmp_path):
    """Forty patients to train on, three films of other patients to test on."""
    folder = tmp_path / "kermany"
    for number in range(20):
        picture(folder / f"train/NORMAL/NORMAL2-IM-{number:04}-0001.jpeg", False, number)
        kind = ("bacteria", "virus")[number % 2]
        picture(folder / f"train/PNEUMONIA/person{number}_{kind}_{number}.jpeg", True, 50 + number)
    picture(folder / "val/NORMAL/NORMAL2-IM-9999-0001.jpeg", False, 90)
    picture(folder / "test/NORMAL/IM-0001-0001.jpeg", False, 91)
    picture(folder / "test/PNEUMONIA/person1_virus_6.jpeg", True, 92)
    picture(folder / "test/PNEUMONIA/BACTERIA-1008087-0001.jpeg", True, 93)
    return tmp_path


def test_kermany_as_published_has_patients_and_kinds_in_its_file_names(published):
    source = Kermany(kind="kermany", val=0.3)
    splits = {name: source.load(published, name, CARD) for name in ("train", "val", "test")}
    check_splits({name: splits[name] for name in ("train", "val")})
    assert len(splits["train"]) + len(splits["val"]) == 40
    assert splits["test"].owners == ("IM-0001", "BACTERIA-1008087", "person1")
    assert splits["test"].groups == ("normal", "bacteria", "virus")
    assert splits["test"].targets[:, 0].tolist() == [0, 1, 1]


def test_a_picture_of_kermany_with_another_name_is_refused(published):
    picture(published / "kermany/train/PNEUMONIA/mine.jpeg", True, 94)
    with pytest.raises(BadData, match=r"mine\.jpeg.*manifest"):
        Kermany(kind="kermany").load(published, "train", CARD)
