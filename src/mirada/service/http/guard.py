"""What every request passes: who it is for and from, how large it is, how long it takes; and what every answer carries."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mirada.config import LimitsConfig
from mirada.service.logs import log, request_id
from mirada.service.metrics import Metrics
from mirada.service.problems import Refusal, problem

_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ROOM = 64_000  # bytes of a request around its images: headers of parts, fields
_PART = 1_000  # of each part of a job
_DRAIN_S = 10.0  # so long a refused upload is read on, so that the client hears the answer


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, limits: LimitsConfig, metrics: Metrics, token: str | None, hosts: set[str] | None
    ) -> None:
        self.app, self.limits, self.metrics, self.hosts = app, limits, metrics, hosts
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(scope["request_id"])
        await _Exchange(self, scope, headers, receive, send).run()

    def refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Why a request is not let in; None where it is."""
        if self.hosts is not None and _host_of(headers.get("host", "")) not in self.hosts:
            return Refusal(403, "The service does not answer to the name in the Host header: name it in hosts=[…].")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _crosses(headers):
            return Refusal(403, "A page of another origin may not send requests here.")
        path = scope["path"]
        if self._token and (path.startswith("/v1/") or path == "/metrics") and not self._knows(headers):
            return Refusal(401, "Send the header Authorization: Bearer <token>, with the token of the service.")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.body_limit(path):
            return self.too_long(path)
        return None

    def _knows(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        assert self._token is not None
        return hmac.compare_digest(given.strip().encode(), self._token) and scheme.lower() == "bearer"

    def body_limit(self, path: str) -> int:
        """Bytes that a request's body may have."""
        if path == "/v1/jobs":
            return self.limits.job_bytes + _ROOM + _PART * self.limits.job_images
        return self.limits.image_bytes + _ROOM if path == "/v1/predict" else _ROOM

    def too_long(self, path: str) -> Refusal:
        """The refusal of a body beyond the limit."""
        most = {"/v1/jobs": self.limits.job_bytes, "/v1/predict": self.limits.image_bytes}.get(path, _ROOM)
        return Refusal(413, f"The request may have {most} bytes: send a smaller one.")


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        self.guard, self.scope, self.headers = guard, scope, headers
        self._receive, self._send = receive, send
        self._limit, self._read, self._ended = guard.body_limit(scope["path"]), 0, False
        self._started = time.perf_counter()
        self._status: int | None = None

    async def run(self) -> None:
        """Answer, log and count."""
        try:
            refusal = self.guard.refusal(self.scope, self.headers)
            if refusal is not None:
                await self._refuse(refusal)
            else:
                await self.guard.app(self.scope, self.receive, self.send)
        except Exception as error:  # whatever it is: the client learns no internals, and the service goes on
            await self._fail(error)
        finally:
            self._note()

    async def _fail(self, error: Exception) -> None:
        if self._status is not None:  # an answer that was begun can only be cut off
            log("answer cut off", logging.ERROR, exc_info=True)
            raise error
        if isinstance(error, Refusal):
            await self._refuse(error)
            return
        log("failed", logging.ERROR, exc_info=True)
        await self._refuse(Refusal(500, "The service failed: its log tells why, under this request_id."))

    async def _refuse(self, refusal: Refusal) -> None:
        await self._drain()
        more = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
        response = problem(refusal.status, refusal.detail, self.scope["request_id"], refusal.headers | more)
        await response(self.scope, self._receive, self.send)

    async def _drain(self) -> None:
        """Read on what the client is still sending, within bounds: who writes does not read the answer."""
        left = 2 * self._limit
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._ended and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            pass

    async def receive(self) -> Message:
        """The next part of the body, within its limits of bytes and time."""
        if self._ended:
            return await self._receive()
        left = self.guard.limits.body_s - (time.perf_counter() - self._started)
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await self._receive()
        except TimeoutError:
            self._ended = True
            raise Refusal(408, f"The request took more than {self.guard.limits.body_s:g} s to arrive.") from None
        self._read += len(message.get("body", b""))
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        if self._read > self._limit:
            raise self.guard.too_long(self.scope["path"])
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the headers that each one carries."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.scope["request_id"]
            headers.setdefault("Cache-Control", "no-store" if self.scope["path"].startswith("/v1/") else "no-cache")
        await self._send(message)

    def _note(self) -> None:
        route: Any = self.scope.get("route")
        name = getattr(route, "path", "none")
        seconds = time.perf_counter() - self._started
        method = self.scope["method"] if self.scope["method"] in _METHODS else "other"  # a client may send any word
        self.guard.metrics.requests.labels(method, name, str(self._status or 499)).inc()
        self.guard.metrics.seconds.labels(name).observe(seconds)
        log(
            "answered",
            method=self.scope["method"],
            path=self.scope["path"],
            status=self._status,
            ms=round(1000 * seconds, 2),
            client=(self.scope.get("client") or ("",))[0],
        )


def _host_of(value: str) -> str:
    """A Host header without its port."""
    return re.sub(r":\d+$", "", value).lower()


def _crosses(headers: Headers) -> bool:
    """Whether a browser says that another origin's page sent the request."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2].lower() != headers.get("host", "").lower()
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
