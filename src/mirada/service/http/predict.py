"""Routes of single images and of the model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from mirada.data.images import image_size
from mirada.errors import MiradaError
from mirada.inference.tiling import Viewing, tile_side
from mirada.service.http.pictures import draw_found
from mirada.service.http.schemas import BINARY, PICTURES, ModelList, Prediction, refusals
from mirada.service.http.uploads import read_image
from mirada.service.model.predictor import Found, Predictor
from mirada.service.problems import Refusal
from mirada.service.safety import sniff
from mirada.service.state import LONG_TILES, Service
from mirada.tasks import get_task

IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": BINARY},
                }
            },
            **{
                kind: {"schema": BINARY}
                for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
            },
        },
    }
}
_SHOWN = ("drop", "drop_low", "drop_high", "latency_ms_p50", "latency_ms_p95", "latency_ms_p50_all_threads", "load_ms")
Variant = Annotated[str | None, Query(max_length=40, description="float32, int8, best, …: see /v1/models.")]
MinScore = Annotated[
    float | None, Query(ge=0, le=1, allow_inf_nan=False, description="Detections below it are left out.")
]


def read_viewing(
    view: Annotated[
        Literal["auto", "whole", "tiles"],
        Query(
            description="whole: scaled into the network's input; tiles: cut into parts; auto: as the model was trained."
        ),
    ] = "auto",
    tile: Annotated[
        int | None, Query(ge=16, le=100_000, description="Side of a tile in pixels of the image; else the model's own.")
    ] = None,
    overlap: Annotated[
        float | None,
        Query(
            ge=0, le=0.8, allow_inf_nan=False, description="Share of a tile's side that neighbours share; else a half."
        ),
    ] = None,
) -> Viewing:
    """How a request wants its images looked at."""
    return Viewing(view, tile, overlap)


AsViewed = Annotated[Viewing, Depends(read_viewing)]


def routes(service: Service) -> APIRouter:
    """`/v1/predict`, `/v1/models` and `/v1/models/reload`."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/predict",
        response_model=Prediction,
        responses={200: {"content": PICTURES}, **refusals(415, 429, 503)},
        openapi_extra=IMAGE_BODY,
    )
    async def predict(
        request: Request,
        viewing: AsViewed,
        variant: Variant = None,
        min_score: MinScore = None,
        annotated: bool = False,
    ) -> Response:
        """What the model finds in one image; with `annotated`, the picture with its boxes."""
        data = await read_image(request)
        predictor = service.predictor
        name = variant or predictor.bundle.default_variant(service.config.variant)
        least = predictor.bundle.least_score(service.config.min_score) if min_score is None else min_score
        png = annotated and _wants_png(request)
        ask = partial(predictor.predict, data, name, least, viewing)
        long = await _is_long(predictor, data, viewing)
        return await service.compute(lambda: _answer(service, predictor, ask, data, name, annotated, png), long)

    @router.get("/models", response_model=ModelList, responses=refusals(503))
    async def models() -> dict[str, Any]:
        """The model that answers, its variants and what they cost."""
        return {"models": [describe_model(service)]}

    @router.post("/models/reload", response_model=ModelList, responses=refusals(503))
    async def reload(request: Request) -> dict[str, Any]:
        """Load the configured model again; requests under way end with the one they began with."""
        if not request.app.state.access.needed:
            raise Refusal(
                403, "Loading over HTTP needs a token: start the service with MIRADA_TOKEN set, or with keys."
            )
        try:
            await run_in_threadpool(service.load)
        except MiradaError:
            raise Refusal(503, "The model can't be loaded, the present one goes on: the log tells why.") from None
        return {"models": [describe_model(service)]}

    return router


async def _is_long(predictor: Predictor, data: bytes, viewing: Viewing) -> bool:
    """Whether an image has many tiles."""
    predictor.check_viewing(viewing)
    if sniff(data) is None or not tile_side(predictor.bundle.card, viewing):
        return False
    try:
        size = await run_in_threadpool(image_size, data)  # on its side perhaps, which makes no other number of tiles
    except MiradaError:
        return False  # `predict` tells what is wrong
    return predictor.count_tiles(size, viewing) > LONG_TILES


def _answer(
    service: Service,
    predictor: Predictor,
    ask: Callable[[], Found],
    data: bytes,
    variant: str,
    annotated: bool,
    png: bool,
) -> Response:
    """In a prediction thread: the whole answer, encoded."""
    found = ask()
    service.metrics.predictions.labels(variant).inc()
    service.metrics.model_seconds.labels(variant).observe(found.timings_ms["inference"] / 1000)
    if predictor is service.present:
        service.drift.note(found.traits)
    if annotated:
        card = predictor.bundle.card
        picture = draw_found(data, found.content["detections"], card.labels, png=png, depth_range=card.depth_range)
        return Response(picture, media_type="image/png" if png else "image/jpeg")
    content = answer(predictor, found, variant)
    return Response(json.dumps(content, ensure_ascii=False).encode(), media_type="application/json")


def answer(predictor: Predictor, found: Found, variant: str) -> dict[str, Any]:
    """A prediction as the API gives it."""
    bundle = predictor.bundle
    return {
        "task": bundle.card.task,
        "model": {"name": bundle.name, "digest": bundle.digest},
        "variant": variant,
        "labels": bundle.card.labels,
        "image": {"width": found.width, "height": found.height},
        **found.content,
        "timings_ms": found.timings_ms,
    }


def _wants_png(request: Request) -> bool:
    """Whether the Accept header puts PNG before JPEG."""
    weights: dict[str, float] = {}
    for entry in request.headers.get("accept", "*/*").lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            weights[kind] = float(quality)
        except ValueError:
            weights[kind] = 0.0
    rest = weights.get("image/*", weights.get("*/*", 0.0))
    return weights.get("image/png", rest) > weights.get("image/jpeg", rest)


def describe_model(service: Service) -> dict[str, Any]:
    """The card, and each variant with its figures."""
    bundle = service.predictor.bundle
    card, task = bundle.card, get_task(bundle.card.task)
    default = bundle.default_variant(service.config.variant)
    variants = []
    for name, entry in bundle.entries.items():
        figures = bundle.figures.get(name, {})
        if figures.get("size_bytes", entry["size_bytes"]) != entry["size_bytes"]:
            figures = {}  # of another model, which was evaluated before
        keys = [column.key for column in (*task.main_columns, *task.more_columns)]
        row = {"name": name, "default": name == default, "size_bytes": entry["size_bytes"]}
        row |= {"size_gzip_bytes": entry.get("size_gzip_bytes")}
        row |= {key: figures[key] for key in (*keys, *_SHOWN) if math.isfinite(figures.get(key, math.nan))}
        variants.append(row)
    return {
        "name": bundle.name,
        "task": card.task,
        "labels": card.labels,
        "input_size": card.input_size,
        "channels": card.channels,
        "digest": bundle.digest,
        "version": bundle.version,
        "git_commit": card.git_commit,
        "data_digest": card.data_digest,
        "trained_at": card.trained_at,
        "metric": task.main_metric,
        "metric_name": task.metric_name,
        "split": "test",
        "min_score": bundle.least_score(service.config.min_score),
        "variants": variants,
    }
