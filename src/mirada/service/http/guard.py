"""What every request passes: who it is for and from, how large it is, how long it takes; and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mirada.config import ServeConfig
from mirada.service.keys import Access
from mirada.service.logs import log, open_audit, request_id
from mirada.service.metrics import Metrics
from mirada.service.problems import Refusal, problem
from mirada.service.safety import known_hosts

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
_PROBES = ("/healthz", "/readyz")  # asked by address, of a container say
_REFUSED = (401, 403, 429)  # what the audit log keeps also without a key
_DRAIN_S = 10.0  # so long a refused upload is read on, so that the client hears the answer


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, config: ServeConfig, metrics: Metrics, access: Access) -> None:
        self.app, self.limits, self.metrics, self.access = app, config.limits, metrics, access
        self.hosts = known_hosts(config.host, config.hosts, config.origins)
        self.audit = open_audit(Path(config.audit)) if config.audit else None
        self._root, self._origins = config.root_path, {origin.lower() for origin in config.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path != self._root and not path.startswith(f"{self._root}/"):
            scope["path"] = self._root + path  # the proxy took it away; routes and mounts look below it
        scope["root_path"] = self._root
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(scope["request_id"])
        await _Exchange(self, scope, headers, receive, send).run()

    def path_of(self, scope: Scope) -> str:
        """What a request asks for, below the service's root."""
        path: str = scope["path"]
        return path[len(self._root) :]

    def admit(self, scope: Scope, headers: Headers) -> str | None:
        """Let a request in; gives the name of its key.

        Raises:
            Refusal: it is not let in.
        """
        path, method = self.path_of(scope), scope["method"]
        if self.hosts is not None and path not in _PROBES and _host_of(headers.get("host", "")) not in self.hosts:
            raise Refusal(
                403,
                "The service does not answer to the name in the Host header: name it in hosts=[…], or, where a proxy shows "
                "the service there, its address in origins=[…].",
            )
        if method not in ("GET", "HEAD", "OPTIONS") and self._crosses(headers):
            raise Refusal(
                403,
                "A page of another origin may not send requests here: where it is the service's own at a proxy, name that "
                "address in origins=[…].",
            )
        sender = self.access.admit(path, headers.get("authorization", ""))
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.body_limit(path):
            raise self.too_long(path)
        return sender

    def _crosses(self, headers: Headers) -> bool:
        """Whether a browser says that another origin's page sent the request; what a proxy forwards is not asked."""
        origin = headers.get("origin")
        if origin is not None:
            own = origin.partition("://")[2].lower() == headers.get("host", "").lower()
            return not own and origin.lower() not in self._origins
        return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")

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
        self._limit, self._read, self._ended = guard.body_limit(guard.path_of(scope)), 0, False
        self._started = time.perf_counter()
        self._status: int | None = None
        self._sender: str | None = None

    async def run(self) -> None:
        """Answer, log and count."""
        try:
            self._sender = self.guard.admit(self.scope, self.headers)
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
            self._sender = error.sender or self._sender
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
            raise self.guard.too_long(self.guard.path_of(self.scope))
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the headers that each one carries."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.scope["request_id"]
            headers.setdefault(
                "Cache-Control", "no-store" if self.guard.path_of(self.scope).startswith("/v1/") else "no-cache"
            )
        await self._send(message)

    def _note(self) -> None:
        route: Any = self.scope.get("route")
        name = getattr(route, "path", "none")
        seconds = time.perf_counter() - self._started
        method = self.scope["method"] if self.scope["method"] in _METHODS else "other"  # a client may send any word
        self.guard.metrics.requests.labels(method, name, str(self._status or 499)).inc()
        self.guard.metrics.seconds.labels(name).observe(seconds)
        fields = {
            "method": self.scope["method"],
            "path": self.guard.path_of(self.scope),
            "status": self._status,
            "ms": round(1000 * seconds, 2),
            "client": (self.scope.get("client") or ("",))[0],
        }
        log("answered", **fields)
        if self.guard.audit is not None and (self._sender or self._status in _REFUSED):
            self.guard.audit.info("asked", extra={"fields": {"key": self._sender, **fields}})


def _host_of(value: str) -> str:
    """A Host header without its port."""
    return re.sub(r":\d+$", "", value).lower()
