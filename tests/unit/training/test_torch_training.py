"""A torch training is measured, can be interrupted anywhere, and is not started twice."""

import json
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pellucid.repository.folder import file_digest
from tests.support.tiny_sets import XRAY_CARD, picture, recipe_of
from training import unfinished
from training.digests import NoWeights
from training.places import Places
from training.run import run
from training.run_recipe import OtherRun, claim
from training.torch_loop import rate
from training.weights import build_torch, start_torch, trained

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own exporter

KERMANY = [{"kind": "kermany"}]


@pytest.fixture
def places(kermany, tmp_path) -> Places:
    return Places(kermany, tmp_path / "runs", tmp_path / "repository")


def test_a_training_ends_with_weights_and_figures_of_the_validation_split(places):
    run(recipe_of(XRAY_CARD, KERMANY), places)
    folder = places.run("tiny")
    figures = json.loads((folder / "finished.json").read_text())
    pneumonia = figures["validation"]["pneumonia"]
    assert figures["macro_auc"] == pneumonia["auc"]["value"]
    points = figures["operating_points"]
    assert list(points) == ["balanced", "sensitive", "specific", "fixed_0.3"]
    assert all(set(thresholds) == {"pneumonia"} for thresholds in points.values())
    assert figures["calibration"]["temperature"] > 0
    assert figures["left_out"] == {"train": 0, "val": 0}
    detector = json.loads((folder / "detector.json").read_text())["detector"]
    assert detector["digest"] == file_digest(folder / "detector.safetensors")
    assert set(pneumonia["hidden"]) == {"0%", "25%", "50%", "75%", "100%"}
    assert all(
        value.dtype == torch.float16 for value in load_file(folder / "weights.safetensors").values()
    )


def test_a_finished_training_is_left_alone(places):
    folder, recipe = places.run("tiny"), recipe_of(XRAY_CARD, KERMANY)
    claim(folder, recipe)
    (folder / "finished.json").write_text("{}")
    run(recipe, places)
    assert {path.name for path in folder.iterdir()} == {"finished.json", "recipe.yaml"}


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_of_another_recipe_is_neither_gone_on_from_nor_taken_for_this_ones(places, finished):
    claim(places.run("tiny"), recipe_of(XRAY_CARD, KERMANY))
    if finished:
        (places.run("tiny") / "finished.json").write_text("{}")
    with pytest.raises(OtherRun, match="another recipe"):
        run(recipe_of(XRAY_CARD, KERMANY, seed=1), places)


def test_a_finished_run_that_keeps_no_recipe_is_nobodys(places):
    places.run("tiny").mkdir(parents=True)
    (places.run("tiny") / "finished.json").write_text("{}")
    with pytest.raises(OtherRun, match="does not say whose run"):
        run(recipe_of(XRAY_CARD, KERMANY), places)


def test_a_served_model_of_any_version_starts_another(places):
    served = places.repository / "tiny"
    (served / "2").mkdir(parents=True)
    (served / "card.yaml").write_text(yaml.safe_dump({**XRAY_CARD, "version": "2"}))
    with pytest.raises(NoWeights, match="train it first"):
        trained("tiny", places)
    (served / "2/weights.safetensors").touch()
    card, weights = trained("tiny", places)
    assert (card.version, weights) == ("2", served / "2/weights.safetensors")


def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(places, tmp_path):
    recipe = recipe_of(
        XRAY_CARD,
        KERMANY,
        stages=[{"epochs": 2, "size": 8}, {"epochs": 2}],
        optimiser={"learning_rate": 1e-2, "average": 0.5},
    )
    run(recipe, places)
    parted = Places(places.data, tmp_path / "parted", places.repository)
    stop_after_two_epochs(recipe, parted)
    assert torch.load(parted.run("tiny") / "last.ckpt", weights_only=True)["epoch"] == 1
    run(recipe, parted)
    whole, resumed = (
        load_file(each.run("tiny") / "weights.safetensors") for each in (places, parted)
    )
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, atol=1e-3, rtol=1e-2)


def stop_after_two_epochs(recipe, places) -> None:
    import lightning

    def stop(self, trainer, module) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lightning.pytorch.callbacks.TQDMProgressBar, "on_train_epoch_start", stop)
        with pytest.raises(SystemExit):
            run(recipe, places)


def test_a_finished_run_teaches_and_starts_another(places):
    run(recipe_of(XRAY_CARD, KERMANY), places)
    pupil = recipe_of(
        {**XRAY_CARD, "name": "pupil"},
        KERMANY,
        start={"kind": "model", "model": "tiny"},
        teacher="tiny",
        stages=[{"epochs": 1, "taught": 0.5, "trained": "head", "hidden": 0.5}],
        optimiser={"learning_rate": 1e-2, "average": 0.1},
    )
    run(pupil, places)
    before, after = (
        load_file(places.run(name) / "weights.safetensors") for name in ("tiny", "pupil")
    )
    body = "features.block1.conv1.weight"
    assert torch.equal(before[body], after[body]), "only the head was trained"
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_a_teacher_that_is_not_trained_is_named(places):
    recipe = recipe_of(XRAY_CARD, KERMANY, teacher="nobody", stages=[{"epochs": 1, "taught": 0.5}])
    with pytest.raises(NoWeights, match="nobody"):
        run(recipe, places)


def test_weights_over_colours_start_a_network_over_grey(places, tmp_path, monkeypatch):
    from pellucid.architectures.small_cnn import small_cnn
    from training.recipe import Package

    colours = small_cnn(channels=3, outputs=5, width=4, blocks=2)
    content = {f"other.{n}": value for n, value in enumerate(colours.state_dict().values())}
    package = tmp_path / "site/pretrained"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save(content, package / "weights.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    import hashlib

    digest = hashlib.sha256((package / "weights.pth").read_bytes()).hexdigest()
    start = Package(kind="package", package="pretrained", file="weights.pth", sha256=digest)
    grey = small_cnn(channels=1, outputs=1, width=4, blocks=2)
    start_torch(grey, start, places)
    first = "features.block1.conv1.weight"
    torch.testing.assert_close(
        grey.state_dict()[first], colours.state_dict()[first].sum(1, keepdim=True)
    )
    with pytest.raises(NoWeights, match="SHA-256"):
        start_torch(grey, start.model_copy(update={"sha256": "0" * 64}), places)


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing():
    rates = [rate(step, 100, 0.1) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1 and rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_several_findings_are_measured_each_for_itself(places):
    card = {
        **XRAY_CARD,
        "labels": ["mass", "edema", "hernia"],
        "output": {"activation": "sigmoid"},
        "architecture": {
            "framework": "torch",
            "builder": "small_cnn",
            "arguments": {"channels": 1, "outputs": 3, "width": 4, "blocks": 2},
        },
    }
    rows = ["path,path256,split,patient,findings,source"]
    for number in range(24):
        picture(places.data / f"nih14/{number}.png", number % 2 == 0, number)
        found = ("Mass", "Edema|Mass", "No Finding")[number % 3]
        hernia = "|Hernia" if number == 0 else ""
        split = "val" if number >= 16 else "train"
        rows.append(f"{number}.png,,{split},{number},{found}{hernia},one")
    (places.data / "nih14/manifest.csv").write_text("\n".join(rows) + "\n")
    run(recipe_of(card, [{"kind": "nih14"}], balanced=False, choose="auc"), places)
    figures = json.loads((places.run("tiny") / "finished.json").read_text())
    assert {"auc", "brier"} <= set(figures["validation"]["mass"])
    assert set(figures["calibration"]["temperature"]) == {"mass", "edema"}
    assert figures["validation"]["hernia"] == {"positives": 0}
    aucs = [figures["validation"][label]["auc"]["value"] for label in ("mass", "edema")]
    assert figures["macro_auc"] == pytest.approx(sum(aucs) / 2, abs=1e-3)


def test_what_an_unfinished_run_has_learnt_is_kept_and_taken_up(places, tmp_path, monkeypatch):
    recipe = recipe_of(XRAY_CARD, KERMANY, stages=[{"epochs": 3, "hidden": 0.5}])
    stop_after_two_epochs(recipe, places)
    arguments = ["unfinished", str(tmp_path / "kept"), f"--runs={places.runs}"]
    monkeypatch.setattr(sys, "argv", arguments)
    unfinished.main()
    kept = tmp_path / "kept/tiny.safetensors"
    other = recipe_of({**XRAY_CARD, "name": "other"}, KERMANY, start={"kind": "file", "file": kept})
    network = build_torch(other.card)
    start_torch(network, other.start, places)
    state = torch.load(places.run("tiny") / "last.ckpt", weights_only=True)["state_dict"]
    for key, value in load_file(kept).items():
        torch.testing.assert_close(network.state_dict()[key], value.float())
        torch.testing.assert_close(state[f"network.{key}"], value.float(), atol=1e-3, rtol=1e-3)
