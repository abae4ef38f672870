"""Finds the cases of a model's index that are most like a file."""

import asyncio
from pathlib import Path
from threading import Lock
from typing import Final

from gateway.case_index import ABOUT, About, BadIndex, CaseIndex
from gateway.classification import Classified, Classifier, Wanted
from gateway.predictions import encode_prediction
from gateway.settings import GatewaySettings
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.errors import IndexUnavailable, InvalidArgument
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel

MOST: Final = 100
"""Cases in one answer."""
_DEFAULT: Final = 5


class SimilarCases:
    """Looks for similar cases in the indices of one folder."""

    def __init__(self, classifier: Classifier, settings: GatewaySettings) -> None:
        """Classify with `classifier`, and search in what `settings.index_dir` has."""
        self._classifier = classifier
        self._indices = Indices(settings.index_dir)

    async def find(
        self, request: gateway_pb2.FindSimilarRequest, deadline: Deadline
    ) -> gateway_pb2.FindSimilarResponse:
        """Classify one file and find what is like it.

        Raises:
            InvalidArgument: the count or the window is out of range.
            IndexUnavailable: the model has no index that fits it.
            PellucidError: as `Classifier.classify` raises it.
        """
        count = _checked_count(request.count)
        self._classifier.check_content(request.content)
        await self._index(await self._classifier.model(request.model))
        classified = await self._classifier.classify(
            request.model, request.content, deadline, Wanted(features=True)
        )
        # It may be another one by now.
        index = await self._index(classified.model)
        if classified.features is None:
            raise _unavailable(classified.model, "it gives no features any more")
        window = _window(request, classified)
        try:
            found = await asyncio.to_thread(index.nearest, classified.features[window], count)
        except ValueError as error:
            raise _unavailable(classified.model, str(error)) from error
        return gateway_pb2.FindSimilarResponse(
            prediction=encode_prediction(classified),
            window_index=window,
            cases=[
                gateway_pb2.SimilarCase(
                    id=case.id,
                    labels=case.labels,
                    distance=distance,
                    start_seconds=case.start_seconds,
                    end_seconds=case.end_seconds,
                    thumbnail_png=index.thumbnail(case),
                )
                for case, distance in found
            ],
            index=gateway_pb2.CaseIndex(
                cases=index.about.files, typical_distance=index.about.typical_distance
            ),
        )

    async def count(self, model: ServedModel) -> int:
        """Files in the index of a model; 0 where it has none that fits it."""
        try:
            about = await asyncio.to_thread(self._indices.about, model.card.name)
        except BadIndex:
            return 0
        wanted = model.card.name, model.weights_digest
        if about is None or (about.model, about.weights_digest) != wanted:
            return 0
        return about.files

    async def _index(self, model: ServedModel) -> CaseIndex:
        try:
            index = await asyncio.to_thread(self._indices.get, model.card.name)
        except BadIndex as error:
            raise _unavailable(model, str(error)) from error
        if index is None:
            raise _unavailable(model, "there is none")
        if index.about.weights_digest != model.weights_digest:
            raise _unavailable(model, "it was made with other weights")
        return index


class Indices:
    """The indices of a folder, each read when it is first wanted, and once it was replaced."""

    def __init__(self, folder: Path | None) -> None:
        """Read from a folder; without one there are no indices."""
        self._folder = folder
        self._lock = Lock()
        self._read: dict[str, tuple[tuple[int, int], CaseIndex]] = {}

    def about(self, model: str) -> About | None:
        """What the index of a model is of, without reading the rest; arguments as `get`'s."""
        if self._folder is None or not (self._folder / model / ABOUT).is_file():
            return None
        return About.read(self._folder / model)

    def get(self, model: str) -> CaseIndex | None:
        """The index of a model; None where there is none.

        Args:
            model: a name that Triton serves, so a plain one.

        Raises:
            BadIndex: it cannot be read, or is another model's.
        """
        if self._folder is None:
            return None
        path = self._folder / model
        with self._lock:
            try:
                stat = (path / ABOUT).stat()
            except OSError:
                self._read.pop(model, None)
                return None
            made = stat.st_ino, stat.st_mtime_ns
            known = self._read.get(model)
            if known is None or known[0] != made:
                known = made, CaseIndex.read(path)
                if known[1].about.model != model:
                    raise BadIndex(f"{path.name} is of {known[1].about.model}")
                self._read[model] = known
            return known[1]


def _checked_count(count: int) -> int:
    if count <= MOST:
        return count or _DEFAULT
    raise InvalidArgument(
        f"{count} cases are too many", field="count", remedy=f"ask for 1 to {MOST}"
    )


def _window(request: gateway_pb2.FindSimilarRequest, classified: Classified) -> int:
    if request.HasField("window"):
        return classified.checked_window(request.window)
    return classified.window_of(int(classified.scores.overall.raw.argmax()))


def _unavailable(model: ServedModel, why: str) -> IndexUnavailable:
    name = model.card.name
    return IndexUnavailable(
        f"{name} has no index of cases that can be searched: {why}",
        field="model",
        remedy=f"its operator makes one with `pellucid index build {name} FOLDER`",
        model=name,
    )
