"""Gradient copies of what Triton serves: loaded when needed, checked, and kept in a budget."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Final, NamedTuple, TypeAlias

import structlog

from explain_service import metrics
from explain_service.gradient.loading import NoCopy, find_weights, load_copy
from explain_service.gradient.model import GradientModel
from explain_service.run_control import RunControl
from pellucid.api.explain.v1 import explain_pb2
from pellucid.parity import compare
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray

log = structlog.get_logger(__name__)

Predict: TypeAlias = Callable[[ServedModel, FloatArray], FloatArray]
"""Gets from Triton the logits `(N, K')` of inputs `(N, *shape)`; blocks."""

CHUNK: Final = 4
"""Inputs of 224 x 224 that are differentiated at once: DenseNet-121 takes 130 MB for each."""
THREADS: Final = 1
"""Of one chunk. Fixed: another number gives other last bits. With two on two busy cores, torch's
threads wait for each other by spinning: five times the CPU time for each input."""
MEMORY_BYTES: Final = 1 << 30
"""Of the weights of all copies that are kept."""
_FIRST_RETRY_S: Final = 5.0
_LAST_RETRY_S: Final = 300.0
"""Before a copy that was refused is checked again: doubled each time, up to the last."""
_REMEMBERED: Final = 8
"""Checks of one model besides the last: several Tritons may serve several versions of it."""


class _Weights(NamedTuple):
    """What a copy is made of: models that share it share the copy."""

    digest: str
    architecture: str
    plane: tuple[int, int]
    """It decides how many inputs are differentiated at once, and with it the last bits."""


class _Served(NamedTuple):
    """What a copy is compared with."""

    name: str
    version: str
    card: str
    weights: _Weights


@dataclass
class _Check:
    """Whether a copy answers as one served model does."""

    parity: explain_pb2.Parity | None = None
    refusal: str = ""
    """Why not; empty where it does, or was not checked yet."""
    passed: bool = False
    attempts: int = 0
    retry_at: float = 0.0
    loading: "Future[GradientModel] | None" = None
    """While it runs: once it is done, only what is kept holds the copy."""


@dataclass
class _Kept:
    """The copies in memory, the one that was used last at the end."""

    budget: int
    models: "OrderedDict[_Weights, tuple[GradientModel, int]]" = field(default_factory=OrderedDict)

    def get(self, key: _Weights) -> GradientModel | None:
        """A copy that is there; it was used just now."""
        if key not in self.models:
            return None
        self.models.move_to_end(key)
        return self.models[key][0]

    def add(self, key: _Weights, model: GradientModel, size: int) -> None:
        """Keep a copy; those that were not used for longest leave, but never this one."""
        self.models[key] = (model, size)
        while len(self.models) > 1 and sum(one for _, one in self.models.values()) > self.budget:
            self.models.popitem(last=False)


class GradientCopies:
    """Local, gradient-enabled copies, by weights and architecture; safe to call from threads.

    A copy serves every model, version and replica with the same weights and architecture, so that
    several Tritons behind one address do not take turns in replacing it.
    """

    def __init__(
        self,
        repository: Path,
        predict: Predict,
        *,
        chunk: int = CHUNK,
        threads: int = THREADS,
        memory_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            repository: the folder that Triton serves.
            predict: see `Predict`.
            chunk: inputs of 224 x 224 differentiated at once, of larger ones fewer; it bounds the
                memory of a run.
            threads: of one chunk; the first object in the process decides.
            memory_bytes: of all weights that are kept; one copy is kept whatever its size.
            clock: seconds; decides when a refused copy is checked again.
        """
        self._repository = repository
        self._predict = predict
        self._chunk = chunk
        self._threads = threads
        self._clock = clock
        self._kept = _Kept(memory_bytes)
        self._checks: dict[_Served, _Check] = {}
        self._lock = Lock()

    def unavailable(self, model: ServedModel) -> str:
        """Why a model has no copy; empty where it has one, as far as is known.

        A copy that was refused a while ago is checked again meanwhile: no request would cause it.
        """
        try:
            find_weights(self._repository, model)
        except NoCopy as error:
            return str(error)
        check = self._checks.get(_served(model))
        if check is None or not check.refusal:
            return ""
        with suppress(NoCopy):
            self._loading(model)
        return check.refusal

    def parity(self, model: ServedModel) -> explain_pb2.Parity | None:
        """How the copy compares with what is served; None while it was not checked."""
        check = self._checks.get(_served(model))
        return check.parity if check else None

    def checked(self, model: ServedModel, control: RunControl) -> GradientModel:
        """A copy that answers as the model does, loaded and checked if need be; blocks.

        Raises:
            Cancelled: the request was; the loading goes on.
            DeadlineTooShort: the time was up.
            NoCopy: there is none, or it drifted from what Triton serves.
            BackendUnavailable: Triton does not answer, so the copy cannot be checked.
        """
        return control.wait(self._loading(model))

    def _loading(self, model: ServedModel) -> "Future[GradientModel]":
        """The loading of a copy: begun if it is not there, and was not refused just now."""
        key = _served(model)
        with self._lock:
            check = self._checks.setdefault(key, _Check())
            if check.loading is not None:
                return check.loading
            if check.refusal and self._clock() < check.retry_at:
                raise NoCopy(check.refusal)
            kept = self._kept.get(key.weights) if check.passed else None
            if kept is not None:
                return _finished(kept)
            # What is wrong with the file may be fixed: it is read each time.
            weights = find_weights(self._repository, model)
            check.loading = _in_background(partial(self._load, model, weights, check))
            return check.loading

    def _load(self, served: ServedModel, weights: Path, check: _Check) -> GradientModel:
        try:
            model, parity = self._compared(served, weights)
            check.parity = parity
            metrics.COPY_DIFFERENCE.labels(served.card.name).set(parity.max_score_difference)
            if not parity.passed:
                raise NoCopy(_drift(parity))
        except NoCopy as error:
            self._refuse(served, check, str(error))
            raise
        else:
            self._accept(served, weights, check, model)
            return model
        finally:
            with self._lock:
                check.loading = None

    def _compared(
        self, served: ServedModel, weights: Path
    ) -> tuple[GradientModel, explain_pb2.Parity]:
        with self._lock:
            model = self._kept.get(_served(served).weights)
        if model is None:
            model = load_copy(served.card, weights, chunk=self._chunk, threads=self._threads)
        return model, compare(served.card, partial(self._predict, served), model.logits)

    def _accept(
        self, served: ServedModel, weights: Path, check: _Check, model: GradientModel
    ) -> None:
        key = _served(served)
        with self._lock:
            # Half precision in the file, single in memory.
            self._kept.add(key.weights, model, 2 * weights.stat().st_size)
            check.passed, check.refusal, check.attempts = True, "", 0
            self._forget(key)
        metrics.COPY_REFUSED.labels(served.card.name).set(0)
        log.info("gradient copy", model=served.card.name, version=served.version)

    def _refuse(self, served: ServedModel, check: _Check, why: str) -> None:
        wait = min(_FIRST_RETRY_S * 2**check.attempts, _LAST_RETRY_S)
        check.refusal, check.passed = why, False
        check.attempts += 1
        check.retry_at = self._clock() + wait
        metrics.COPY_REFUSED.labels(served.card.name).set(1)
        log.info("gradient copy refused", model=served.card.name, why=why, retry_s=wait)

    def _forget(self, key: _Served) -> None:
        """Keep the last few checks of a model only: every reload with other weights adds one."""
        same = [one for one in self._checks if one.name == key.name and one != key]
        for old in same[:-_REMEMBERED]:
            del self._checks[old]


def _finished(model: GradientModel) -> "Future[GradientModel]":
    future: Future[GradientModel] = Future()
    future.set_result(model)
    return future


def _in_background(work: Callable[[], GradientModel]) -> "Future[GradientModel]":
    """Run on a thread of its own that nothing has to wait for, not even the end of the process.

    A framework takes seconds to import and cannot be stopped meanwhile.
    """
    future: Future[GradientModel] = Future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(found)

    Thread(target=run, name="gradient-copy", daemon=True).start()
    return future


def _drift(parity: explain_pb2.Parity) -> str:
    """Why a copy that failed the comparison is not used."""
    return (
        f"the copy's scores differ from the served ones by {parity.max_score_difference:.2g}, "
        f"more than the {parity.tolerance:.2g} that the card allows"
    )


def _served(model: ServedModel) -> _Served:
    card = model.card
    architecture = card.architecture.model_dump_json() if card.architecture else ""
    weights = _Weights(model.weights_digest, architecture, card.preprocess.plane)
    meaning = card.model_dump_json(include={"labels", "output", "preprocess"})
    return _Served(card.name, model.version, meaning, weights)
