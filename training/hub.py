"""Weights from a Hugging Face hub, at a pinned commit and with a checked digest."""

from pathlib import Path

from training.digests import NoWeights, checked
from training.recipe import Hub


def fetch(start: Hub) -> Path:
    """The file that a recipe names, downloaded unless it was before.

    It is kept where `huggingface_hub` keeps all files (`HF_HOME`, else `~/.cache/huggingface`), and
    used from there without a network.

    Raises:
        NoWeights: it is neither there nor at the hub, or is not what the recipe says.
    """
    try:
        from httpx2 import HTTPError
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise NoWeights(f"install huggingface_hub: {error}") from error
    try:
        path = hf_hub_download(
            start.repository,
            start.file,
            revision=start.revision,
            endpoint=start.endpoint,
            # A recipe of somebody else's must not send the user's token to any server it likes.
            token=False if start.endpoint else None,
        )
    except (OSError, HTTPError) as error:
        where = f"{start.repository}/{start.file} at {start.revision}"
        raise NoWeights(f"{where} is neither cached nor to be had from the hub: {error}") from error
    return checked(Path(path), start.sha256)
