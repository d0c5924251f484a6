"""A real HTTP server on this machine that says what a test tells it to."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Server(ThreadingHTTPServer):
    """Answers each path with what ``answers`` holds for it, once for each entry of a list, and keeps the requests."""

    request_queue_size = 64  # gpuhunt asks for all clouds at once

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *args):
        """Say nothing of clients that have gone."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def filters(self) -> list[str]:
        return [query["$filter"][0] for _, query, _ in self.asked if "$filter" in query]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.server.asked.append((parts.path, query, self.headers["User-Agent"]))
        answer = self.server.answers.get(f"{parts.path}?{parts.query}", self.server.answers.get(parts.path, 404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(query)
        status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.do_GET()

    def log_message(self, *args):
        """Say nothing."""
