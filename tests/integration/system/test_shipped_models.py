"""The models that the project ships, explained through the whole system."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.cards import Card
from pellucid.client import (
    Client,
    GradCam,
    Grid,
    IntegratedGradients,
    KernelShap,
    Label,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Result,
)
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import OutOfDistribution
from pellucid.repository.folder import model_folders
from tests.support.shapley import every_mask, shapley_values
from tests.support.triton_client import infer

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"
DATA = ROOT.parent / "shared" / "data"
PNEUMONIA, SPEECH = "pneumonia_densenet121", "speech_mobilenet_v2"
CARDS = {
    folder.name: Card.read(folder / "card.yaml") for folder in model_folders(ROOT / "triton_repo")
}
METHODS: list[Method] = [
    Lime(samples=40),
    KernelShap(samples=40),
    PartitionShap(evaluations=40),
    Occlusion(window_height=0.25, window_width=0.25),
    GradCam(),
    IntegratedGradients(steps=8),
]
"""Few model calls: here it matters that everything works, not how smooth the maps are."""


@pytest.mark.parametrize("model", CARDS)
def test_a_sample_is_explained_with_all_six_methods(shipped: EmbeddedSystem, model: str) -> None:
    sample = {"image": "radiograph_opacity.png", "audio": "speech_flite.wav"}
    path = SAMPLES / sample[CARDS[model].preprocess.media]
    with Client(shipped.gateway_url) as client:
        result = client.explain_all(path, model, methods=METHODS)
    assert_all_explained(result)


@pytest.mark.parametrize(
    "model",
    [name for name, card in CARDS.items() if card.modality == "chest_xray" and card.detector],
)
def test_a_radiograph_of_a_leg_comes_with_a_warning_and_is_refused_on_request(
    shipped: EmbeddedSystem, model: str
) -> None:
    leg = real_file("dicom/negative_not_chest_RG3_J2KI.dcm")
    with Client(shipped.gateway_url) as client:
        found = client.classify(leg, model).out_of_distribution
        assert found is not None and found.warning
        assert found.score > 2 * found.threshold
        with pytest.raises(OutOfDistribution):
            client.classify(leg, model, refuse_out_of_distribution=True)


@pytest.mark.parametrize(
    ("model", "pattern"),
    [(PNEUMONIA, "kermany/test/PNEUMONIA/*.jpeg"), (SPEECH, "speech/test/real/*.flac")],
)
def test_a_real_file_is_explained_with_all_six_methods(
    shipped: EmbeddedSystem, model: str, pattern: str
) -> None:
    with Client(shipped.gateway_url) as client:
        result = client.explain_all(real_file(pattern), model, methods=METHODS)
    assert_all_explained(result)


def test_a_long_clip_has_scores_for_each_window(shipped: EmbeddedSystem) -> None:
    with Client(shipped.gateway_url) as client:
        prediction = client.classify(SAMPLES / "speech_several_windows.mp3", SPEECH)
    assert len(prediction.windows) > 3
    means = np.mean([[s.score for s in window.scores] for window in prediction.windows], axis=0)
    assert [score.score for score in prediction.scores] == pytest.approx(means, abs=1e-5)


def test_kernel_shap_with_all_coalitions_gives_the_shapley_values_of_a_film(
    shipped: EmbeddedSystem, tmp_path: Path
) -> None:
    """Enumerated over eight segments with the masks sent straight to Triton."""
    film = film_of_the_models_size(tmp_path)
    with Client(shipped.gateway_url) as client:
        result = client.explain_all(
            film,
            PNEUMONIA,
            methods=[KernelShap(samples=300)],
            target=Label("pneumonia"),
            segmentation=Grid(rows=2, columns=4),
            baseline="black",
        )
    scores = scores_of_all_coalitions(shipped.triton_url, film)
    found = result.get("kernel_shap", "pneumonia")
    assert found.segment_scores is not None
    assert found.segment_scores.values == pytest.approx(shapley_values(scores), abs=2e-3)
    assert found.trust["additivity_gap"].value == pytest.approx(0, abs=1e-3)


def scores_of_all_coalitions(url: str, film: Path) -> np.ndarray:
    """Logit with bit `k` of the index saying whether segment `k` is kept."""
    picture = np.asarray(Image.open(film).convert("L"), np.float32) / 255
    image = ((picture - 0.5) / 0.25)[np.newaxis, np.newaxis]
    rows, columns = np.mgrid[0:224, 0:224]
    segments = (rows // 112 * 4 + columns // 56).astype(np.uint16)
    masks = every_mask(8)
    black = np.full((1, 1, 1, 1), -2, np.float32)
    blocks = [
        infer(
            url, f"{PNEUMONIA}_masked", image=image, baseline=black, segments=segments, masks=part
        )
        for part in np.split(masks, 8)
    ]
    return np.concatenate(blocks)[:, 0].astype(np.float64)


def film_of_the_models_size(folder: Path) -> Path:
    """A film of 224 by 224 pixels: of the real data, or the sample where there is none."""
    if found := sorted(DATA.glob("kermany/test/PNEUMONIA/*.jpeg")):
        return found[0]
    film = folder / "film.png"
    Image.open(SAMPLES / "radiograph_opacity.png").resize((224, 224)).save(film)
    return film


def real_file(pattern: str) -> Path:
    """A file of the real data, or a visible skip where there is none."""
    found = sorted(DATA.glob(pattern))
    if not found:
        pytest.skip(f"the data set is not here: {DATA / pattern}")
    return found[0]


def assert_all_explained(result: Result) -> None:
    digests = {found.receipt.input_digest for found in result.explanations}
    assert digests == {result.input.window.digest}
    assert [found.method for found in result.explanations] == [method.name for method in METHODS]
    for found in result.explanations:
        assert np.isfinite(found.map).all()
        assert not found.truncated
    assert result.comparison is not None
