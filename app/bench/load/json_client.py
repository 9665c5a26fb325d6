"""One keep-alive HTTP client that names how a call failed, and costs a fraction of httpx's time."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
CALL_TIMEOUT_S = 2.0
"""Twice the default deadline of a request."""


class CallFailed(Exception):
    """A call without a response: `kind` is refused, reset, closed or timeout."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """A response; `body` is its JSON, or its text if it is none."""

    status: int
    headers: dict[str, str]
    body: Any


class JsonClient:
    """Sends one request at a time to the first of `ports` that accepts a connection, as a load balancer would."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Any = None, timeout_s: float = CALL_TIMEOUT_S) -> Answer:
        """Send a request and return the response; CallFailed without one."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            self.close()
            raise CallFailed("timeout") from None
        except ConnectionRefusedError:
            raise CallFailed("refused") from None
        except asyncio.IncompleteReadError as error:
            self.close()
            raise CallFailed("cut off" if error.partial else "closed") from None
        except OSError:
            self.close()
            raise CallFailed("reset") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> Answer:
        if self._streams is not None and self._is_closed(*self._streams):  # between two requests
            self.close()
        if self._streams is None:
            self._streams = await self._connect()
        reader, writer = self._streams
        writer.write(request)
        answer = await read_answer(reader)
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    @staticmethod
    def _is_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return reader.at_eof() or reader.exception() is not None or writer.is_closing()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._ports[1:]:
            try:
                return await asyncio.open_connection(HOST, self._ports[0])
            except ConnectionRefusedError:
                self._ports.append(self._ports.pop(0))
        return await asyncio.open_connection(HOST, self._ports[0])


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    text = await reader.readexactly(int(headers.get("content-length", "0")))
    try:
        body = json.loads(text)
    except ValueError:
        body = text.decode(errors="replace")
    return Answer(int(lines[0].split(" ")[1]), headers, body)
