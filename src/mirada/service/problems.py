"""How the API refuses: problem+json (RFC 9457), one sentence without internals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Refusal(Exception):
    """An answer other than the one asked for.

    Args:
        status: of HTTP.
        detail: a sentence: what was wrong, and what to do.
        retry_after_s: when to come back; None where that won't help.
        sender: name of the API key, where it is known.
    """

    def __init__(
        self, status: int, detail: str, retry_after_s: int | None = None, *, sender: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.sender = status, detail, sender
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def problem(
    status: int, detail: str, request_id: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """The response of a refusal."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = json.dumps(content | {"request_id": request_id} | more, ensure_ascii=False).encode()
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Answer every refusal of the application with problem+json."""

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return problem(error.status, error.detail, _request_id(request), error.headers)

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "There is nothing at this address.", 405: "This address does not take that method."}
        return problem(
            error.status_code, words.get(error.status_code, str(error.detail)), _request_id(request), error.headers
        )

    async def refuse_parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()]
        return problem(422, "; ".join(faults) + ".", _request_id(request))

    app.add_exception_handler(Refusal, refuse)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(RequestValidationError, refuse_parameters)


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))
