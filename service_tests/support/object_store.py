"""An object store on loopback with as much of S3 as polars uses: list, read ranges, write in one part or several.

It keeps objects in memory and checks no signature.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "shop"


@dataclass
class ObjectStore:
    """`objects` by key; `parts` of writes that are not complete."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which polars uses this store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def run_object_store() -> Iterator[ObjectStore]:
    store = ObjectStore()
    server = StoreServer(store)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class StoreServer(ThreadingHTTPServer):
    def __init__(self, store: ObjectStore) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store
        store.port = self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key, query = self._parse()
        if "list-type" in query:
            self._answer(200, self._list(query.get("prefix", [""])[0]))
        elif key not in self._store.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer_object(self._store.objects[key])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        key, query = self._parse()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if "uploadId" in query:
            self._store.parts[key][int(query["partNumber"][0])] = content
        else:
            self._store.objects[key] = content
        self._answer(200, b"", ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    def do_POST(self) -> None:
        key, query = self._parse()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "uploadId" in query:
            parts = self._store.parts.pop(key)
            self._store.objects[key] = b"".join(parts[number] for number in sorted(parts))
            self._answer(200, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
        else:
            self._store.parts[key] = {}
            self._answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            )

    @property
    def _store(self) -> ObjectStore:
        assert isinstance(self.server, StoreServer), "the server that this class is for"
        return self.server.store

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""

    def _parse(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        key = unquote(url.path).lstrip("/").removeprefix(BUCKET).lstrip("/")
        return key, parse_qs(url.query, keep_blank_values=True)

    def _list(self, prefix: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;x&quot;</ETag><Size>{len(content)}</Size></Contents>"
            for key, content in sorted(self._store.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _answer_object(self, content: bytes) -> None:
        total, status, headers = len(content), 200, {}
        if (span := self.headers.get("Range")) is not None:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, total - int(last))
            end = min(int(last), total - 1) if first and last else total - 1
            content, status = content[start : end + 1], 206
            headers["Content-Range"] = f"bytes {start}-{end}/{total}"
        self._answer(status, content, ETag='"x"', **{"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", **headers})

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
