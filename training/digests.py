"""Files of weights that are what a recipe says they are."""

import hashlib
from pathlib import Path


class NoWeights(Exception):
    """Weights that a recipe names are not there, or are not what it says."""


def checked(path: Path, sha256: str) -> Path:
    """The same path.

    Raises:
        NoWeights: the file has another SHA-256.
    """
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise NoWeights(f"{path} has the SHA-256 {digest}, the recipe says {sha256}")
    return path
