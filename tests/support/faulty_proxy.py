"""A proxy in front of a real HTTP server that stalls, drops, answers for it, or loses what it answered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

DROPPED, LOST, TWICE, SLOW = "dropped", "lost", "twice", "slow"


@dataclass
class Fault:
    """What happens to the requests whose path contains ``path``, to the first ``times`` of them (None: to all).

    ``what`` is DROPPED (the connection is closed before the server hears of it), LOST (the server does it, and its
    answer is lost), TWICE (it is asked twice, as by an impatient load balancer), SLOW (it is answered late), or a
    status that is answered in its place, with ``body`` and ``headers``. Before that, ``seconds`` pass.
    """

    what: str | int = DROPPED
    path: str = ""
    times: int | None = None
    seconds: float = 0.0
    body: bytes = b"<html><body>Bad gateway</body></html>"
    headers: Mapping[str, str] = field(default_factory=dict)


class FaultyProxy(ThreadingHTTPServer):
    """``url`` leads to ``target``. ``asked`` holds every request as "METHOD /path", ``faults`` what goes wrong.

    ``before`` is called with each request before it is passed on.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self._choosing = threading.Lock()
        self.released = threading.Event()
        """Set at the end: stalled requests wait no longer."""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """The proxy's address, with the name and password of the target's."""
        user = self.target.netloc.rpartition("@")[0]
        return f"http://{user + '@' if user else ''}127.0.0.1:{self.server_port}{self.target.path}"

    @contextlib.contextmanager
    def failing(self, what: str | int = DROPPED, path: str = "", **more: object) -> Iterator[None]:
        """A fault while the context is open."""
        fault = Fault(what, path, **more)
        self.faults.append(fault)
        try:
            yield
        finally:
            self.faults.remove(fault)

    def fault_of(self, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self._choosing:
            for fault in self.faults:
                if fault.path in path and fault.times != 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def handle_error(self, *args):
        """Say nothing of clients that have gone."""


@contextlib.contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """A proxy in front of ``target`` while the context is open."""
    proxy = FaultyProxy(target)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        proxy.shutdown()
        proxy.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FaultyProxy

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {urlsplit(self.path).path}")
        self.server.before(self.server.asked[-1])
        fault = self.server.fault_of(self.path)
        if fault is not None and fault.seconds:
            self.server.released.wait(fault.seconds)
        if fault is not None and isinstance(fault.what, int):
            return self._reply(fault.what, {"Content-Type": "text/html", **fault.headers}, fault.body)
        if fault is not None and fault.what == DROPPED:
            return None
        try:
            answer = self._passed_on(sent)
            if fault is not None and fault.what == TWICE:
                answer = self._passed_on(sent)
        except (OSError, HTTPException):  # the server is down
            return self._reply(502, {"Content-Type": "text/html"}, Fault.body)
        return None if fault is not None and fault.what == LOST else self._reply(*answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

    def _passed_on(self, sent: bytes) -> tuple[int, Mapping[str, str], bytes]:
        target = self.server.target
        with contextlib.closing(HTTPConnection(target.hostname, target.port, timeout=60)) as connection:
            connection.request(self.command, self.path, sent, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""
