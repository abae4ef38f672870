"""Why a file is not read: the errors of this service, with everything a caller needs to fix it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pellucid.errors import MediaLimitExceeded, PellucidError, UnreadableMedia, UnsupportedMedia

FIELD = "content"
"""The request's field that holds the file."""


def unreadable(media_type: str, why: str) -> UnreadableMedia:
    """The file is damaged: `why` completes "the image/png cannot be read: …"."""
    return UnreadableMedia(
        f"the {media_type} cannot be read: {why}",
        field=FIELD,
        remedy="send the complete, undamaged file",
        media_type=media_type,
        why=why,
    )


def unsupported(media_type: str, why: str, remedy: str) -> UnsupportedMedia:
    """The file is intact, of an accepted type, but in a form that is not read."""
    return UnsupportedMedia(
        f"this {media_type} is not read: {why}",
        field=FIELD,
        remedy=remedy,
        found=media_type,
        why=why,
    )


@contextmanager
def translated(media_type: str, why: str) -> Iterator[None]:
    """Around a decoder: whatever it raises means that the file is damaged.

    Decoders raise anything on damaged files, in texts of their own that may quote the file.

    Raises:
        UnreadableMedia: it raised; `why` as in `unreadable`.
        MemoryError: the memory was too little, whatever the decoder made of it.
    """
    try:
        yield
    except (MemoryError, PellucidError):
        raise
    except Exception as error:
        if any(isinstance(cause, MemoryError) for cause in _causes(error)):
            raise MemoryError from error
        raise unreadable(media_type, why) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def check_limit(what: str, actual: float, maximum: float, setting: str) -> None:
    """Refuse a file that is too large.

    Args:
        what: what is counted, e.g. `pixels`.
        actual: how many the file has.
        maximum: how many are read.
        setting: name of the setting that says so.

    Raises:
        MediaLimitExceeded: there are too many.
    """
    if actual <= maximum:
        return
    raise MediaLimitExceeded(
        f"the file has {actual:,.10g} {what}, at most {maximum:,.10g} are read",
        field=FIELD,
        remedy=f"send a file of at most {maximum:,.10g} {what}",
        limit=setting,
        maximum=f"{maximum:.10g}",
        actual=f"{actual:.10g}",
        unit=what,
    )


def too_costly(what: str, maximum: float, setting: str) -> MediaLimitExceeded:
    """The file is small, but what it unpacks to is not: it passed a limit while it was decoded."""
    return MediaLimitExceeded(
        f"decoding the file takes more than {maximum:,.10g} {what}",
        field=FIELD,
        remedy="send a smaller or simpler file",
        limit=setting,
        maximum=f"{maximum:.10g}",
        unit=what,
    )


def fatal() -> UnreadableMedia:
    """The file ended the process that decoded it."""
    return UnreadableMedia(
        "the file cannot be read: its decoder crashed",
        field=FIELD,
        remedy="send the complete, undamaged file",
        why="its decoder crashed",
    )
