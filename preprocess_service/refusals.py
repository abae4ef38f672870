"""Why a file is not read: the errors of this service, with everything a caller needs to mend it."""

from pellucid.errors import MediaLimitExceeded, UnreadableMedia, UnsupportedMedia

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
