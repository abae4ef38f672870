"""From the bytes of a file to the tensors of a model: one file, in one worker."""

from typing import Any, Final, Protocol

from pellucid.contracts import ImageContract, InputSpec, LogMelContract, StftContract
from preprocess_service import image_windows, sniffing, sound_windows
from preprocess_service.media import Preprocessed
from preprocess_service.settings import PreprocessSettings


class _Read(Protocol):
    def __call__(
        self,
        content: bytes,
        media_type: str,
        contract: Any,
        settings: PreprocessSettings,
        *,
        with_preview: bool,
    ) -> Preprocessed: ...


_READERS: Final[dict[type[InputSpec], _Read]] = {
    ImageContract: image_windows.read,
    LogMelContract: sound_windows.read,
    StftContract: sound_windows.read,
}
"""By the kind of the contract that they fill."""


def preprocess(
    content: bytes, contract: InputSpec, settings: PreprocessSettings, *, with_preview: bool
) -> Preprocessed:
    """Read one file.

    Args:
        content: its bytes.
        contract: what to make of it.
        settings: the limits.
        with_preview: whether to draw what the model sees, for people.

    Raises:
        UnreadableMedia: the file is damaged.
        UnsupportedMedia: it is of a kind that is not read, or not by this contract.
        MediaLimitExceeded: it is too large, or its response would be.
    """
    media_type = sniffing.sniff(content, contract.media)
    read = _READERS[type(contract)]
    return read(content, media_type, contract, settings, with_preview=with_preview)
