"""What keeps the embedded system from running; each message names the remedy in one line."""


class EmbeddedError(Exception):
    """Base of everything that `pellucid up` and its relatives may raise before they give up."""


class MissingPrerequisite(EmbeddedError):
    """The machine lacks something that Pellucid cannot bring itself."""


class BuildFailed(EmbeddedError):
    """Triton's environment or a model could not be built."""


class PortTaken(EmbeddedError):
    """Another process listens on a port that was asked for."""


class PortUnusable(EmbeddedError):
    """A port that was asked for cannot be listened on, although no process does."""


class AlreadyRunning(EmbeddedError):
    """A system with this state folder is running."""


class ServiceFailed(EmbeddedError):
    """A service did not become healthy."""


class NotRunning(EmbeddedError):
    """There is no system with this state folder."""
