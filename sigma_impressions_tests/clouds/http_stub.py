"""A tiny HTTP server that gives prepared answers, for the faults that no emulator of a store produces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def range_start(self) -> int:
        """First byte that the request asks for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0])


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; with `cut` only so many bytes of the body are sent before the connection is closed.

    With `drip` one byte is sent every so many seconds.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float | None = None


@dataclass
class HttpStub:
    """What `answer` says is sent; every request is kept."""

    url: str
    answer: Callable[[Request], Answer]
    requests: list[Request] = field(default_factory=list)


@contextmanager
def http_stub(answer: Callable[[Request], Answer]) -> Iterator[HttpStub]:
    """Run the stub on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            # As stores do: the SDK of Amazon waits for this, a second long.
            if self.headers.get("Expect") == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            stub.requests.append(request)
            given = stub.answer(request)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.send_body(given)
            self.close_connection = True

        def send_body(self, given: Answer) -> None:
            with suppress(ConnectionError):  # who asked may have gone
                if given.drip is None:
                    self.wfile.write(given.body[: given.cut])
                    return
                for byte in given.body[: given.cut]:
                    if over.wait(given.drip):
                        return
                    self.wfile.write(bytes([byte]))

        do_GET = do_HEAD = do_POST = do_PUT = handle_request

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: pytest shows what matters."""

    over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = HttpStub(f"http://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
