"""A hub on loopback that answers `huggingface_hub` as the real one does."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Hub:
    """What it holds, and what it was asked for."""

    files: Mapping[str, bytes]
    """Content by `OWNER/NAME/resolve/REVISION/FILE`."""
    address: str = ""
    requests: list[str] = field(default_factory=list)
    """Method and path of each."""
    authorised: bool = False
    """Whether a token was ever sent."""


@contextmanager
def serve_hub(files: Mapping[str, bytes]) -> Iterator[Hub]:
    """Serve files at commits; large files of the real hub are elsewhere, and so are these."""
    hub = Hub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0].strip("/")
            hub.requests.append(f"{self.command} /{path}")
            hub.authorised |= "Authorization" in self.headers
            stored = path.removeprefix("storage/")
            content = hub.files.get(stored)
            if content is None:
                self.send_response(404)
                repository = "/".join(path.split("/")[:2])
                known = any(name.startswith(repository + "/") for name in hub.files)
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if stored == path:
                self.send_response(302)
                # On another host: the client reads the headers of what is on the hub's own.
                storage = hub.address.replace("127.0.0.1", "localhost")
                self.send_header("Location", f"{storage}/storage/{path}")
                self.send_header("X-Repo-Commit", path.split("/")[3])
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
