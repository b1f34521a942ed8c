"""The application: `create_app` puts routes, page and guard together."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.responses import FileResponse, HTMLResponse

from mirada.config import ServeConfig
from mirada.service.http import jobs, predict
from mirada.service.http.guard import Guard
from mirada.service.http.reference import render_reference
from mirada.service.http.schemas import Health, Problem
from mirada.service.keys import Access
from mirada.service.problems import add_handlers
from mirada.service.queue.queue import Queue
from mirada.service.state import Service

WEB = Path(__file__).parent / "web"
TOKEN = "MIRADA_TOKEN"  # the environment variable; never a key of a configuration, which is written to files


def create_app(config: ServeConfig, *, token: str | None = None, disk: Path | None = None) -> FastAPI:
    """The application.

    Args:
        config: of the service; without a queue.url, jobs are refused.
        token: that requests need; None: that of the environment, where there is one.
        disk: a folder of the queue's disk, where the Redis is the service's own.
    """
    queue = Queue(config.queue, Path(config.var_dir), disk) if config.queue.url else None
    service = Service(config, queue)
    token = os.environ.get(TOKEN) or None if token is None else token
    access = Access(Path(config.keys) if config.keys else None, token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for work in (partial(_start, service), service.keep_queue):
            threading.Thread(target=work, daemon=True).start()
        yield
        service.stop()

    guard = Middleware(Guard, config=config, metrics=service.metrics, access=access)
    app = FastAPI(
        title="Mirada",
        version="1",
        description="Predictions of small vision models, one image at a time or many as a job.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[guard],
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.service, app.state.access = service, access
    add_handlers(app)
    app.include_router(predict.routes(service))
    app.include_router(jobs.routes(service))
    _add_probes(app, service)
    app.add_api_route("/", lambda: FileResponse(WEB / "index.html"), include_in_schema=False)
    app.add_api_route("/docs", lambda: HTMLResponse(render_reference(app.openapi())), include_in_schema=False)
    app.mount("/static", StaticFiles(directory=WEB), name="static")
    _describe_problems(app)
    return app


def _start(service: Service) -> None:
    """Load the model, then watch for newer ones; the API answers meanwhile, and says that it is not ready."""
    service.try_to_load(fresh=False)  # the supervisor has asked the registry
    if service.config.watch_s:
        service.watch()


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=Health)
    async def healthz() -> dict[str, Any]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}})
    async def readyz(response: Response) -> dict[str, Any]:
        """Whether predictions and jobs are taken."""
        queue = "absent"
        if service.queue is not None:
            queue = "up" if await service.queue.ask(service.queue.store.is_up) else "down"
        detail = {"model": "loaded" if service.ready else "absent", "queue": queue}
        ready = service.ready and queue != "down"
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "not ready", "detail": detail}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """For Prometheus."""
        service.drift.tell(service.metrics)
        return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


def _describe_problems(app: FastAPI) -> None:
    """Add what refusals look like to the OpenAPI document, in place of FastAPI's own."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
