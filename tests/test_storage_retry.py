"""An S3 that asks to slow down is asked again."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from metaner_core import storage

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class Busy(BaseHTTPRequestHandler):
    """Answers every request 503 so many times before it answers it as S3 does. One bucket, kept in memory."""

    protocol_version = "HTTP/1.1"
    refusals = 2
    seen: dict[tuple[str, str], int]
    kept: dict[str, bytes]

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = (self.command, self.path)
        self.seen[asked] = self.seen.get(asked, 0) + 1
        if self.seen[asked] <= self.refusals:
            return self.send(503, SLOW_DOWN)
        if self.command == "PUT":
            self.kept[self.path] = content
            return self.send(200)
        found = self.kept.get(self.path)
        return self.send(200, found) if found is not None else self.send(404)

    do_GET = do_PUT = do_HEAD = do_POST = answer

    def send(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Busy]]:
    handler = type("Handler", (Busy,), {"seen": {}, "kept": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")  # or the content comes in chunks
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("size", [10, 10_000])  # a small one is shorter than the answer that asks to slow down
def test_an_object_is_written_and_read_although_s3_says_slow_down(busy: type[Busy], size: int) -> None:
    storage.write_bytes("s3://bucket/a", b"x" * size)
    assert storage.read_bytes("s3://bucket/a") == b"x" * size
    assert busy.seen["PUT", "/bucket/a"] == Busy.refusals + 1


def test_an_s3_that_stays_busy_is_an_error_in_the_end(busy: type[Busy], monkeypatch: pytest.MonkeyPatch) -> None:
    busy.refusals = 10**6
    monkeypatch.setattr(storage, "ATTEMPTS", 3)
    with pytest.raises(OSError, match=r"(?i)slow.?down"):
        storage.write_bytes("s3://bucket/a", b"content")
