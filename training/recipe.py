"""Recipes: small YAML files that say all about a training, checked before anything is read."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pellucid.cards import Activation, Card
from pellucid.contracts import SpectrogramContract
from training.datasets.chexpert import CheXpert
from training.datasets.clips import Clips
from training.datasets.fake_or_real import FakeOrReal
from training.datasets.folders import ClipFolders, PictureFolders
from training.datasets.kermany import Kermany
from training.datasets.medmnist import MedMnist
from training.datasets.nih14 import ChestXray14, Nih14
from training.datasets.pictures import Pictures
from training.datasets.speech import Speech
from training.datasets.speech_neural import SpeechNeural

PictureSource = CheXpert | ChestXray14 | Kermany | MedMnist | Nih14 | PictureFolders
ClipSource = ClipFolders | FakeOrReal | Speech | SpeechNeural
Source = Annotated[PictureSource | ClipSource, Field(discriminator="kind")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(_Part):
    """What is read from a YAML file of its own: the recipe of one model."""

    card: Card
    """The part of the card that people write; the training adds operating points, calibration and
    quality."""

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> Self:
        """Read a recipe and change some of its values.

        Args:
            path: of the YAML file.
            changes: `key=value`, the key dotted (`stages.0.epochs=3`), the value YAML.

        Raises:
            ValueError: a change names no place in the recipe.
            pydantic.ValidationError: it names the field that is wrong.
        """
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        for change in changes:
            _change(tree, change)
        return cls.model_validate(tree)

    @property
    def digest(self) -> str:
        """Of everything that decides the weights; a run goes on only with the same."""
        card = self.card.model_dump_json(include={"labels", "output", "preprocess", "architecture"})
        text = card + self.model_dump_json(exclude={"card", "threads"}, exclude_defaults=True)
        return hashlib.sha256(text.encode()).hexdigest()


class LastLayers(_Part):
    """The last layers of a network, of those that have weights; normalisation counts."""

    last: int = Field(gt=0)


class Stage(_Part):
    """A run of epochs of one kind."""

    epochs: int = Field(gt=0)
    size: int | None = Field(default=None, gt=0)
    """Side of the pictures in pixels, for torch; absent: as the card says."""
    trained: Literal["all", "head"] | LastLayers = "all"
    """What changes, for torch and weights that come from elsewhere: `head` is the last dense layer,
    `{last: 20}` the last twenty. Normalisation of the others keeps its statistics."""
    rate_share: float = Field(default=1, gt=0, le=1)
    """Learning rate of the stage, as a share of the optimiser's."""
    hidden: float = Field(default=0, ge=0, le=1)
    """Share of the inputs of which random segments are replaced by a baseline."""
    taught: float = Field(default=0, ge=0, le=1)
    """Share of the teacher's scores in what is to be answered; the labels have the rest."""
    variation: float = Field(default=1, ge=0, le=1)
    """Scales how often clips go through devices, and how often copies are drawn: a network with
    random weights learns nothing from what is hard alone."""


class Package(_Part):
    """Weights from an installed Python package: a torch `state_dict` in the order of the layers."""

    kind: Literal["package"]
    package: str
    file: Path
    """Inside the package."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Model(_Part):
    """Weights of another recipe, from its run or from the repository."""

    kind: Literal["model"]
    model: str


class File(_Part):
    """Weights of the same network from a safetensors file, as every training ends with one.

    For torch also a `state_dict` that `torch.load` reads with `weights_only`.
    """

    kind: Literal["file"]
    file: Path


class Hub(_Part):
    """Weights from a Hugging Face hub: safetensors or, for torch, a plain `state_dict`."""

    kind: Literal["hub"]
    repository: str = Field(pattern="^[^/]+/[^/]+$")
    """`OWNER/NAME`."""
    revision: str
    """A commit: 40 hexadecimal digits."""
    file: str
    """In the repository, e.g. `model.safetensors`."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    endpoint: str | None = Field(default=None, pattern="^https?://")
    """Absent: `HF_ENDPOINT`, else https://huggingface.co."""

    @field_validator("revision")
    @classmethod
    def _is_a_commit(cls, revision: str) -> str:
        if not re.fullmatch("[0-9a-f]{40}", revision):
            raise ValueError("name a commit by its 40 hexadecimal digits: branches and tags move")
        return revision


Start = Annotated[Package | Model | File | Hub, Field(discriminator="kind")]


class Generated(_Part):
    """Pictures that a trained generator adds to the training set (`training/vae.py`)."""

    model: str
    """Name of the generator's recipe, of the same labels."""
    share: float = Field(gt=0, lt=1)
    """Of each label's training pictures."""


class PictureChanges(_Part):
    """How strongly training varies pictures; 0 leaves a property alone."""

    pose: float = Field(default=1, ge=0, le=2)
    """1: up to 11 degrees, 15 % zoom, a shift of 5 % of the side."""
    mirror: bool = True
    sharpness: float = Field(default=1, ge=0, le=2)
    exposure: float = Field(default=1, ge=0, le=2)
    noise: float = Field(default=1, ge=0, le=2)
    resolution: float = Field(default=0, ge=0, le=1)
    """Share of the pictures that lose detail, down to a quarter of the size."""
    spectrum: float = Field(default=0, ge=0, le=1)
    """Share of the pictures whose Fourier amplitudes are mixed with another's
    (arXiv:2105.11120): what remains of both is the phase, the shape."""
    generated: Generated | None = None


class SoundChanges(_Part):
    """How training varies sounds."""

    devices: float = Field(default=1, ge=0, le=1.5)
    """Scales the odds of rooms, microphones, saturation, noise, band limits and codecs."""
    bars: bool = True
    """SpecAugment (arXiv:1904.08779)."""
    copies: int = Field(default=2, ge=0, le=4)
    """Copies of each real clip that are made by vocoders and learned as fake."""


class Optimiser(_Part):
    """AdamW on one cosine over all stages, after a linear warm-up."""

    learning_rate: float = Field(gt=0)
    body_share: float = Field(default=1, gt=0, le=1)
    """Learning rate of all but the last layer, as a share of the learning rate; for torch."""
    weight_decay: float = Field(default=0.02, ge=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps."""
    clip_norm: float = Field(default=1, gt=0)
    smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Labels become `smoothing / 2` and `1 - smoothing / 2`."""
    average: float = Field(default=0.99, gt=0, lt=1)
    """Decay of the moving average of the weights, which is what is kept."""


class Recipe(Document):
    """One model: its card, its data and how it is trained."""

    data: tuple[Source, ...] = Field(min_length=1)
    start: Start | None = None
    """Absent: random weights."""
    teacher: str | None = None
    """A trained torch model of the same labels whose scores are imitated (arXiv:2106.05237); for
    pictures."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Only epochs of the last one can be kept."""
    examples_per_epoch: int | None = Field(default=None, gt=0)
    """Absent: as many as there are."""
    balanced: bool = True
    """Draw each label as often as the others; for labels that exclude each other."""
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    """How much an example of a label counts in the loss, 1 where absent; `balanced`: so much more
    as it is rarer in the training set. The figures of validation are without them."""
    batch: int = Field(default=32, gt=1)
    optimiser: Optimiser
    changes: PictureChanges | SoundChanges | None = None
    """Absent: as a rule for the kind of data."""
    origin_weight: float = Field(default=0, ge=0)
    """Weight of a second task that is not kept: naming the engine that made a clip, all people
    being one. A network with random weights finds what engines leave sooner that way."""
    choose: Literal["auc", "loss", "changed_auc", "changed_loss"] = "changed_loss"
    """What the kept epoch is best at, on the validation split; `changed` as training changes it.
    Of several sets of clips the worst counts."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """What torch multiplies in; Keras networks are trained in float32."""
    threads: int = Field(default=2, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.card.architecture is None or self.card.architecture.builder is None:
            raise ValueError("the card needs an architecture with a builder")
        if self.hears != isinstance(self.card.preprocess, SpectrogramContract) or any(
            isinstance(source, ClipSource) != self.hears for source in self.data
        ):
            raise ValueError("the data are not of the kind that the card's preprocess describes")
        if self.balanced and self.card.output.activation is Activation.SIGMOID:
            raise ValueError("labels that do not exclude each other cannot be balanced")
        self._check_class_weights()
        if self.framework == "keras":
            self._check_keras()
        if self.hears:
            self._check_clips()
        if self.teacher is None and any(stage.taught for stage in self.stages):
            raise ValueError("a stage is taught, but there is no teacher")
        if self.changes and isinstance(self.changes, SoundChanges) != self.hears:
            raise ValueError("the changes are not of the kind that the data are")
        return self

    def _check_keras(self) -> None:
        """Refuse what the loop of Keras networks does not do."""
        if any(stage.trained != "all" for stage in self.stages):
            raise ValueError("stages.trained: some layers stand still only of torch networks")
        if any(stage.size is not None for stage in self.stages):
            raise ValueError("stages.size: Keras networks take pictures of the card's size alone")
        if self.optimiser.body_share != 1:
            raise ValueError("optimiser.body_share: Keras networks have one learning rate")
        # Not where it is the default, which is torch's.
        if "precision" in self.model_fields_set and self.precision != "float32":
            raise ValueError("precision: Keras networks are trained in float32")
        activation, labels = self.card.output.activation, len(self.card.labels)
        if activation is Activation.SIGMOID or labels > 2:
            raise ValueError(
                "card.output: Keras networks are trained to tell two labels apart, by softmax or "
                f"binary_sigmoid; here are {labels} with {activation}"
            )

    def _check_clips(self) -> None:
        """Refuse what is done to pictures alone."""
        if self.framework != "keras":
            raise ValueError("card.architecture: only Keras networks are trained on clips")
        if self.card.output.activation is not Activation.SOFTMAX:
            raise ValueError("card.output: clips are real or fake, one logit each: use softmax")
        if self.teacher is not None or any(stage.taught for stage in self.stages):
            raise ValueError("teacher: only networks of pictures are taught by another")

    def _check_class_weights(self) -> None:
        if self.class_weights == "balanced" and (self.balanced or self.hears):
            raise ValueError("class_weights: labels are drawn equally often already")
        if isinstance(self.class_weights, dict):
            unknown = set(self.class_weights) - set(self.card.labels)
            if unknown:
                raise ValueError(f"class_weights: the card has no label {min(unknown)!r}")

    @property
    def hears(self) -> bool:
        """Whether it learns from clips; otherwise from pictures."""
        return isinstance(self.data[0], ClipSource)

    @property
    def framework(self) -> Literal["torch", "keras"]:
        """Of the network."""
        assert self.card.architecture is not None  # checked above
        # What has a builder is of one of the two.
        return "keras" if self.card.architecture.framework == "keras" else "torch"

    def load_pictures(self, data: Path, split: str) -> Pictures:
        """Read one split of all its sets.

        Raises:
            BadData: a set is not as its loader wants it.
        """
        sources = [source for source in self.data if isinstance(source, PictureSource)]
        return Pictures.joined([source.load(data, split, self.card) for source in sources])

    def load_clips(self, data: Path, split: str) -> Clips:
        """Read one split of all its sets.

        Raises:
            BadData: a set is not as its loader wants it.
        """
        contract = self.card.preprocess
        assert isinstance(contract, SpectrogramContract)  # checked above
        sources = [source for source in self.data if isinstance(source, ClipSource)]
        return Clips.joined([source.load(data, split, contract) for source in sources])

    @property
    def picture_changes(self) -> PictureChanges:
        """How pictures are varied."""
        return self.changes if isinstance(self.changes, PictureChanges) else PictureChanges()

    @property
    def sound_changes(self) -> SoundChanges:
        """How clips are varied."""
        return self.changes if isinstance(self.changes, SoundChanges) else SoundChanges()

    @property
    def epochs(self) -> int:
        """Of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage(self, epoch: int) -> Stage:
        """The stage of an epoch, counted from 0."""
        return [stage for stage in self.stages for _ in range(stage.epochs)][epoch]


def _change(tree: Any, change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} is not key=value")
    *way, last = (int(part) if part.isdigit() else part for part in key.split("."))
    try:
        for part in way:
            tree = tree.setdefault(part, {}) if isinstance(tree, dict) else tree[part]
        tree[last] = yaml.safe_load(value)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"there is no {key} in the recipe") from error
