"""The gradient methods as a whole, on copies that are loaded when needed and checked before use."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from threading import Lock, Thread
from typing import Final, TypeAlias

import structlog

from explain_service.attribution import Attribution, Question
from explain_service.gradient import grad_cam, integrated_gradients
from explain_service.gradient.loading import NoCopy, find_weights, load_copy
from explain_service.gradient.model import GradientModel
from explain_service.gradient.parity import compare
from explain_service.methods import GradCam, IntegratedGradients
from explain_service.parameters import Parameters
from explain_service.tick import Tick
from pellucid.api.explain.v1 import explain_pb2
from pellucid.errors import MethodUnavailable
from pellucid.serving.triton import ServedModel
from pellucid.tensors import FloatArray

log = structlog.get_logger(__name__)

Predict: TypeAlias = Callable[[ServedModel, FloatArray], FloatArray]
"""Asks Triton for the logits `(N, K')` of inputs `(N, *shape)`; blocks."""

CHUNK: Final = 4
"""Inputs of 224 x 224 that are differentiated at once: DenseNet-121 takes 130 MB for each."""
THREADS: Final = 1
"""Of one chunk. Fixed: another number gives other last bits. With two on two busy cores, torch's
threads wait for each other by spinning: five times the CPU time for each input."""

_LIBRARIES: Final = {"torch": ("torch",), "keras": ("tensorflow", "keras")}


@dataclass
class _Copy:
    """What is known of the copy of one served model; `lock` guards `loading`."""

    lock: Lock = field(default_factory=Lock)
    loading: "Future[None] | None" = None
    """Done once the copy is there or refused; it fails where that is not the copy's fault."""
    model: GradientModel | None = None
    parity: explain_pb2.Parity | None = None
    refusal: str = ""


class GradientCopies:
    """See `explain_service.attribution.GradientExplainers`.

    A copy belongs to a name, a version and a weights digest; when any of them changes, the old copy
    is dropped and the next explanation loads and checks a new one.
    """

    def __init__(
        self, repository: Path, predict: Predict, *, chunk: int = CHUNK, threads: int = THREADS
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            repository: the folder that Triton serves.
            predict: see `Predict`.
            chunk: inputs of 224 x 224 differentiated at once, of larger ones fewer; it bounds the
                memory.
            threads: of one chunk; the first object in the process decides.
        """
        self._repository = repository
        self._predict = predict
        self._chunk = chunk
        self._threads = threads
        self._copies: dict[tuple[str, str, str], _Copy] = {}
        self._lock = Lock()

    def unavailable(self, model: ServedModel, method: str) -> str:
        """Why this model cannot be explained that way; empty where it can, as far as is known."""
        try:
            find_weights(self._repository, model)
        except NoCopy as error:
            return str(error)
        assert model.card.architecture is not None
        if method == GradCam.name and not model.card.architecture.grad_cam_layers:
            return grad_cam.NO_LAYERS
        return self._copy(model).refusal

    def resolve(self, model: ServedModel, parameters: Parameters, field: str) -> Parameters:
        """Fill in what the card decides: the layer of Grad-CAM.

        Args:
            model: the one to explain.
            parameters: of a gradient method.
            field: path of the method's message in the request, for the error.

        Raises:
            InvalidArgument: the card has no such layer.
            MethodUnavailable: the card names no layer.
        """
        if not isinstance(parameters, GradCam):
            return parameters
        architecture = model.card.architecture
        layers = architecture.grad_cam_layers if architecture else ()
        layer = grad_cam.choose_layer(layers, parameters.layer, f"{field}.layer")
        return parameters.model_copy(update={"layer": layer})

    def calls(self, parameters: Parameters, targets: int) -> int:
        """Inputs that the copy evaluates; Grad-CAM does so once for each target."""
        if isinstance(parameters, IntegratedGradients):
            return parameters.steps + integrated_gradients.ENDS
        return targets

    def explain(self, parameters: Parameters, question: Question, tick: Tick) -> list[Attribution]:
        """One attribution for each target, in order; blocks.

        Raises:
            Cancelled: nobody waits any more.
            MethodUnavailable: there is no copy, or it drifted from what Triton serves.
            BackendUnavailable: Triton does not answer, so the copy cannot be checked.
            DeadlineTooShort: the time was up before there was anything to show.
        """
        tick.check()
        model = self._checked(question.model, parameters.name, tick)
        tick.check()
        match parameters:
            case GradCam():
                return grad_cam.explain(parameters, question, model, tick)
            case IntegratedGradients():
                return integrated_gradients.explain(parameters, question, model, tick)
            case _:
                raise TypeError(f"{parameters.name} is no gradient method")

    def parity(self, model: ServedModel) -> explain_pb2.Parity | None:
        """How the copy compares with what is served; None while it was not loaded."""
        copy = self._copies.get(_key(model))
        return copy.parity if copy else None

    def load(self, model: ServedModel, tick: Tick | None = None) -> None:
        """Load and check a copy now, so that the first explanation need not wait; blocks.

        Raises:
            Cancelled: nobody waits any more (from `tick`); the loading goes on.
            MethodUnavailable: there is no copy, or it drifted from what Triton serves.
            BackendUnavailable: Triton does not answer, so the copy cannot be checked.
        """
        self._checked(model, IntegratedGradients.name, tick or Tick(total=0))

    def keep(self, models: Iterable[ServedModel]) -> None:
        """Drop the copies of all models but these."""
        served = {_key(model) for model in models}
        with self._lock:
            self._copies = {key: copy for key, copy in self._copies.items() if key in served}

    def libraries(self, model: ServedModel, method: str) -> dict[str, str]:
        """Versions of the libraries that make the map, by name."""
        architecture = model.card.architecture
        assert architecture is not None
        names = _LIBRARIES[architecture.framework]
        if names == ("torch",) and method == GradCam.name:
            names = ("torch", "captum")
        return {name: _version(name) for name in names}

    def _copy(self, model: ServedModel) -> _Copy:
        """What is known of a model's copy; an earlier one of the same name is forgotten."""
        key = _key(model)
        with self._lock:
            if key not in self._copies:
                others = {k: copy for k, copy in self._copies.items() if k[0] != key[0]}
                self._copies = {**others, key: _Copy()}
            return self._copies[key]

    def _checked(self, served: ServedModel, method: str, tick: Tick) -> GradientModel:
        copy = self._copy(served)
        tick.wait(self._loading(served, method, copy))
        if copy.model is None:
            raise _refused(served, method, copy.refusal)
        return copy.model

    def _loading(self, served: ServedModel, method: str, copy: _Copy) -> "Future[None]":
        """The loading of a copy, begun if nobody did before or if the last one failed."""
        with copy.lock:
            if copy.loading is None or (copy.loading.done() and copy.loading.exception()):
                try:
                    # What is wrong with the file may be mended: it is looked at each time.
                    weights = find_weights(self._repository, served)
                except NoCopy as error:
                    raise _refused(served, method, str(error)) from error
                copy.loading = _in_background(partial(self._load, served, weights, copy))
            return copy.loading

    def _load(self, served: ServedModel, weights: Path, copy: _Copy) -> None:
        card = served.card
        try:
            model = load_copy(card, weights, chunk=self._chunk, threads=self._threads)
        except NoCopy as error:
            copy.refusal = str(error)
        else:
            copy.parity = compare(card, partial(self._predict, served), model.logits)
            if copy.parity.passed:
                copy.model = model
            else:
                copy.refusal = _drift(copy.parity)
        log.info(
            "gradient copy",
            model=card.name,
            version=served.version,
            difference=copy.parity.max_score_difference if copy.parity else None,
            refusal=copy.refusal,
        )


def _in_background(work: Callable[[], None]) -> "Future[None]":
    """Run on a thread of its own that nobody has to wait for, not even the end of the process.

    A framework takes seconds to import and cannot be stopped meanwhile.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=run, name="gradient-copy", daemon=True).start()
    return future


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return metadata.version(f"{library}-cpu")  # tensorflow without accelerators


def _drift(parity: explain_pb2.Parity) -> str:
    """Why a copy that failed the comparison is not used."""
    return (
        f"the copy's scores differ from the served ones by {parity.max_score_difference:.2g}, "
        f"more than the {parity.tolerance:.2g} that the card allows"
    )


def _refused(model: ServedModel, method: str, why: str) -> MethodUnavailable:
    return MethodUnavailable(
        f"{model.card.name} cannot be explained by {method}: {why}",
        remedy="choose another method",
        model=model.card.name,
        method=method,
    )


def _key(model: ServedModel) -> tuple[str, str, str]:
    return model.card.name, model.version, model.weights_digest
