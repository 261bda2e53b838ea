"""Requests to one service, over connections that close after each."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import urlencode, urlsplit

# Before each further try of a request that may be repeated, in seconds.
PAUSES = (0.1, 0.5, 2.0)
# The service says that it is there more often than that.
SILENCE = 60.0


class Problem(Exception):
    """What the service refuses, or cannot do.

    ``status`` is HTTP's, ``detail`` says what it was.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} ({status})")
        self.status = status
        self.detail = detail


class Service:
    """Where requests go, and who asks."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a service: http://HOST:PORT")
        if not token or not token.isascii() or not token.isprintable():
            raise ValueError("there is no token: give one, or set VTWASM_TOKEN")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self._token = token
        self._timeout = timeout

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=timeout)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        data: bytes | BinaryIO | None = None,
    ) -> http.client.HTTPResponse:
        sent = {"Authorization": f"Bearer {self._token}", **headers}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        elif data is not None and not isinstance(data, bytes):
            sent["Content-Length"] = str(data.seek(0, os.SEEK_END))
            data.seek(0)
        connection.request(method, f"{self._base}/v1/{path}", data, sent)
        response = connection.getresponse()
        if 200 <= response.status < 300:
            return response
        raise _problem(response.status, response.read())

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str | None] | None = None,
        data: BinaryIO | None = None,
        to: BinaryIO | None = None,
        repeat: bool = False,
    ) -> bytes:
        """Send a request and return its answer; again after a failure of the way, if it may be repeated.

        ``data`` is sent in place of ``body``, as it is. The answer is written ``to`` a file, if there is one.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        if given:
            path = f"{path}?{urlencode(given)}"
        pauses = iter(PAUSES if repeat else ())
        while True:
            connection = self._connect(self._timeout)
            try:
                response = self._send(connection, method, path, body, headers or {}, data)
                if to is None:
                    return response.read()
                to.seek(0)
                to.truncate()
                shutil.copyfileobj(response, to, 1 << 16)
                # A short answer is its own end there.
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return b""
            except (OSError, http.client.HTTPException, Problem) as error:
                if isinstance(error, Problem) and error.status not in (408, 502, 503, 504):
                    raise
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
            finally:
                connection.close()

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield events with their data, for as long as they are wanted: a connection that ends is made anew."""
        last, failures = "", 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            connection = self._connect(SILENCE)
            try:
                for name, identity, data in _parsed(self._send(connection, "GET", path, None, headers)):
                    last, failures = identity or last, 0
                    yield name, json.loads(data)
                raise ConnectionError("the service has ended its events")
            except (OSError, http.client.HTTPException, Problem) as error:
                if isinstance(error, Problem) and error.status < 500 or failures == len(PAUSES):
                    raise
                time.sleep(PAUSES[failures])
                failures += 1
            finally:
                connection.close()


def _problem(status: int, body: bytes) -> Problem:
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"the service answered {status}"
    return Problem(status, str(detail))


def _parsed(lines: http.client.HTTPResponse) -> Iterator[tuple[str, str, str]]:
    event: dict[str, str] = {}
    for raw in lines:
        name, colon, value = raw.decode().rstrip("\r\n").partition(":")
        if name:
            event[name] = event.get(name, "") + value.removeprefix(" ")
        elif not colon:
            if "data" in event:
                yield event.get("event", "message"), event.get("id", ""), event["data"]
            event = {}
