"""What the API gives, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from mirada.config import TASKS

BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
PICTURES: dict[str, Any] = {f"image/{kind}": {"schema": BINARY} for kind in ("jpeg", "png")}
State = Literal["queued", "running", "done", "cancelled"]
View = Literal["whole", "tiles"]
ImageState = Literal["waiting", "done", "failed", "cancelled"]


class Problem(BaseModel):
    """A refusal, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    digest: str


class Size(BaseModel):
    """Of the image as displayed, its EXIF orientation applied, in pixels."""

    width: int
    height: int


class Detection(BaseModel):
    """One thing found: box [x1, y1, x2, y2] in pixels of the image as displayed; null for a classification."""

    label: str
    score: float
    box: list[float] | None


class Probability(BaseModel):
    """Of one label."""

    label: str
    score: float


class Timings(BaseModel):
    """Milliseconds; of a whole view decode is with the scaling to the model's input."""

    decode: float
    prepare: float = Field(description="Cutting and scaling tiles.")
    inference: float
    merge: float = Field(description="Reading the model's outputs and putting together what tiles show.")
    total: float


class Prediction(BaseModel):
    """What a model finds in one image."""

    task: str = Field(json_schema_extra={"enum": list(TASKS)})
    model: ModelName
    variant: str
    labels: list[str]
    image: Size
    view: View
    tiles: int = Field(description="Parts that were looked at; 0 for the whole.")
    left_out: int = Field(description="Detections beyond the most that an answer holds.")
    detections: list[Detection]
    probabilities: list[Probability] | None = Field(None, description="Of a classification or localization.")
    timings_ms: Timings


class Variant(BaseModel):
    """A variant's size and, where evaluation measured it, its figures: the task's metric, drop, latency."""

    model_config = {"extra": "allow"}

    name: str
    default: bool
    size_bytes: int
    size_gzip_bytes: int | None = None


class ModelCard(BaseModel):
    """The model that answers."""

    name: str
    task: str
    labels: list[str]
    input_size: int
    channels: int
    digest: str
    version: str | None = Field(None, description="In the registry.")
    git_commit: str | None
    data_digest: str
    trained_at: str | None
    metric: str
    metric_name: str
    split: str
    min_score: float = Field(description="Used where a request names none.")
    variants: list[Variant]


class ModelList(BaseModel):
    """The models."""

    models: list[ModelCard]


class Counts(BaseModel):
    """Images of a job."""

    total: int
    done: int
    failed: int
    cancelled: int


class JobImage(BaseModel):
    """One image of a job; n counts from 0."""

    n: int
    name: str
    state: ImageState
    error: str | None


class Job(BaseModel):
    """A job without its images."""

    id: str
    state: State
    variant: str
    min_score: float
    view: Literal["auto", "whole", "tiles"]
    tile: int | None
    overlap: float | None
    model: ModelName
    counts: Counts
    created_at: str
    ended_at: str | None
    expires_at: str | None = Field(description="When it and its results go; null until it has ended.")


class JobWithImages(Job):
    """A job and the state of each image."""

    images: list[JobImage]


class JobList(BaseModel):
    """The jobs, the newest first."""

    jobs: list[Job]


class Health(BaseModel):
    """Whether the service lives, or what it lacks."""

    status: str
    detail: dict[str, Any] = {}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may refuse with, for its description."""
    words = {
        400: "The request can't be read.",
        401: "The service has keys or a token, and the request has none of them.",
        403: "The request comes from another origin's page, or asks for what its key may not.",
        404: "There is no such thing.",
        408: "The request took too long to arrive.",
        409: "It is not ready.",
        413: "Too many bytes, pixels or images.",
        415: "No accepted image.",
        422: "A parameter is out of range, or the upload is damaged.",
        429: "The queue is full, or the key asks too often: come back after Retry-After seconds.",
        500: "The service failed.",
        503: "The model, the queue or room on its disk is absent: come back later.",
    }
    chosen = sorted({*statuses, 400, 401, 403, 408, 413, 422, 500})
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": words[status], "content": schema} for status in chosen}
