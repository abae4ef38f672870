"""What a training writes into a card."""

import pytest
import yaml

from training.publish import MARK, publish, write_measured


def test_the_part_written_by_hand_survives_two_trainings(tmp_path):
    card = tmp_path / "card.yaml"
    card.write_text("name: model  # a comment\nlabels: [a, b]\n")
    write_measured(card, thresholds={"b": 0.5}, quality={"test": {"auc": 0.9}})
    write_measured(card, thresholds={"b": 0.6}, quality={"test": {"auc": 0.8}})
    text = card.read_text()
    assert text.startswith("name: model  # a comment\nlabels: [a, b]\n" + MARK)
    assert text.count(MARK) == 1
    assert yaml.safe_load(text) == {
        "name": "model",
        "labels": ["a", "b"],
        "thresholds": {"b": 0.6},
        "quality": {"test": {"auc": 0.8}},
    }


def test_figures_above_the_mark_are_not_doubled(tmp_path):
    card = tmp_path / "card.yaml"
    card.write_text("name: model\nquality: {}\n")
    with pytest.raises(ValueError, match="quality"):
        write_measured(card, thresholds={}, quality={})


def test_weights_go_into_the_version_folder(tmp_path):
    (tmp_path / "card.yaml").write_text("name: model\n")
    weights = tmp_path / "shipped.safetensors"
    weights.write_bytes(b"weights")
    publish(tmp_path, weights, {"b": 0.5}, {})
    assert (tmp_path / "1/weights.safetensors").read_bytes() == b"weights"
