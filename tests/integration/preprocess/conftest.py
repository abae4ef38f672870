from tests.unit.preprocess.conftest import commanded_fork_server, fork_server

__all__ = ["commanded_fork_server", "fork_server"]
