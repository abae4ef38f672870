"""What can be wrong with the file of a network."""


class UnsafeFile(Exception):
    """A file is refused: loading it could run code, or it is not of its format."""
