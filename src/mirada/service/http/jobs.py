"""Routes of jobs: many images, predicted by workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from sse_starlette.sse import EventSourceResponse
from starlette.datastructures import FormData, UploadFile

from mirada.service.http import results
from mirada.service.http.pictures import MAX_SIDE, THUMBNAIL_SIDE, draw_found
from mirada.service.http.predict import AsViewed, MinScore, Variant
from mirada.service.http.schemas import BINARY, PICTURES, JobList, JobWithImages, refusals
from mirada.service.http.uploads import media_type, open_form, read_body
from mirada.service.logs import log
from mirada.service.problems import Refusal
from mirada.service.queue.orders import Order, describe_job, digest_key, fingerprint_of
from mirada.service.queue.queue import Queue
from mirada.service.queue.store import answering
from mirada.service.safety import is_archive, read_zip, safe_name, too_large
from mirada.service.state import Service

_POLL_S = 0.25
_ARCHIVES = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": BINARY}, "archive": BINARY},
                }
            },
            "application/zip": {"schema": BINARY},
        },
    }
}
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
ImageNumber = Annotated[int, Path(ge=0, le=1_000_000)]
IdempotencyKey = Annotated[
    str | None,
    Header(max_length=200, description="Sent again with the same job, it gives the job that it was first used for."),
]
_TYPES = {
    "json": "application/json",
    "coco": "application/json",
    "csv": "text/csv; charset=utf-8",
    "voc": "application/zip",
}
_ENDINGS = {"json": "json", "coco": "coco.json", "csv": "csv", "voc": "voc.zip"}
_CONTENT: dict[str, Any] = {kind: {"schema": BINARY} for kind in ("text/csv", "application/zip")}


def routes(service: Service) -> APIRouter:
    """`/v1/jobs` and all below."""
    router = APIRouter(prefix="/v1/jobs")

    @router.post(
        "", status_code=202, response_model=JobWithImages, responses=refusals(409, 415, 429, 503), openapi_extra=_BODY
    )
    async def create(
        request: Request,
        response: Response,
        viewing: AsViewed,
        variant: Variant = None,
        min_score: MinScore = None,
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        """Take many images: a form's files `images`, or one `archive` (.zip), which may be the body itself."""
        predictor = service.predictor
        bundle = predictor.bundle
        name = variant or bundle.default_variant(service.config.variant)
        predictor.check_variant(name)
        predictor.check_viewing(viewing)
        least = bundle.least_score(service.config.min_score) if min_score is None else min_score
        key, request_id = digest_key(idempotency_key or ""), str(request.scope["request_id"])
        order = Order([], 0, "", key, name, least, request_id, viewing)

        async def accept(*upload: Any) -> dict[str, Any]:
            return await _queue(service).ask(partial(_accept, service, *upload))

        with service.uploading():
            if media_type(request) == "multipart/form-data":
                async with open_form(request, service.config.limits.job_images) as form:
                    job = await accept(_Upload(service, form), order, bundle.digest)
            elif media_type(request) in _ARCHIVES:
                body = await read_body(request)
                job = await accept(_Upload(service, body), order, bundle.digest)
            else:
                raise Refusal(
                    415, "Send the images as files `images` of a form, or a .zip as `archive` or as the body."
                )
        response.headers["Location"] = f"{request.scope['root_path']}/v1/jobs/{job['id']}"
        return job

    _add_jobs(router, service)
    _add_events(router, service)
    _add_results(router, service)
    return router


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.get("", response_model=JobList, responses=refusals(503))
    async def jobs() -> dict[str, Any]:
        """The newest 200 jobs."""
        return {"jobs": await _queue(service).ask(partial(_list, _queue(service)))}

    @router.get("/{job_id}", response_model=JobWithImages, responses=refusals(404, 503))
    async def job(job_id: JobId) -> dict[str, Any]:
        """A job and each of its images."""
        return await _queue(service).ask(partial(_describe, _queue(service), job_id))

    @router.delete("/{job_id}", response_model=JobWithImages, responses=refusals(404, 503))
    async def cancel(job_id: JobId) -> dict[str, Any]:
        """Cancel what has not run; what ran keeps its results."""
        queue = _queue(service)
        await queue.ask(lambda: answering(lambda: queue.store.cancel(job_id)))
        return await queue.ask(partial(_describe, queue, job_id))


def _add_events(router: APIRouter, service: Service) -> None:
    @router.get(
        "/{job_id}/events",
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {}}}, **refusals(404, 503)},
    )
    async def events(job_id: JobId) -> EventSourceResponse:
        """Server-sent events: `progress` when images were finished, `end` when the job has ended."""
        queue = _queue(service)
        await queue.ask(partial(_fields, queue, job_id))
        return EventSourceResponse(_events(service, queue, job_id), ping=15)


async def _events(service: Service, queue: Queue, job_id: str) -> AsyncIterator[dict[str, str]]:
    """The events of one listener, who first hears of all that was finished before."""
    cursor, first = 0, True
    while not service.stopping:
        try:
            fields, changed = await queue.ask(partial(_look, queue, job_id, cursor))
        except Refusal as refusal:
            if refusal.status == 404:
                return
            await asyncio.sleep(1)  # Redis is away: its clients need not hear of that
            continue
        job, cursor = describe_job(fields, ""), cursor + len(changed)
        data = json.dumps({"state": job["state"], "counts": job["counts"], "changed": changed})
        if job["ended_at"] is not None:
            yield {"event": "end", "data": data}
            return
        if changed or first:
            yield {"event": "progress", "data": data}
        first = False
        await asyncio.sleep(_POLL_S)


def _look(queue: Queue, job_id: str, cursor: int) -> tuple[dict[str, str], list[dict[str, Any]]]:
    fields = _fields(queue, job_id)  # first: a job that has ended by now has all its images in the list below
    return fields, answering(lambda: queue.store.finished_since(job_id, cursor))


def _add_results(router: APIRouter, service: Service) -> None:
    @router.get(
        "/{job_id}/results",
        responses={200: {"content": {"application/json": {}, **_CONTENT}}, **refusals(404, 503)},
        response_class=Response,
    )
    async def get_results(
        job_id: JobId,
        form: Annotated[Literal["json", "coco", "csv", "voc"], Query(alias="format")] = "json",
    ) -> Response:
        """What was found so far, to take away: JSON, COCO JSON, CSV, or PASCAL VOC XML in a .zip."""
        queue = _queue(service)
        content = await queue.ask(partial(_results, queue, job_id, form))
        headers = {"Content-Disposition": f'attachment; filename="job-{job_id[:8]}.{_ENDINGS[form]}"'}
        return Response(content, 200, headers, _TYPES[form])

    @router.get(
        "/{job_id}/images/{number}",
        responses={200: {"content": PICTURES}, **refusals(404, 409, 429, 503)},
        response_class=Response,
    )
    async def picture(job_id: JobId, number: ImageNumber, thumbnail: bool = False) -> Response:
        """An image with its boxes."""
        queue = _queue(service)
        state, stored, labels = await queue.ask(partial(_stored_image, queue, job_id, number))
        if stored is None:
            raise Refusal(409, f"The image has no result: it is {state}.")
        side = THUMBNAIL_SIDE if thumbnail else MAX_SIDE
        image, found = stored
        depths = service.predictor.bundle.card.depth_range
        drawn = await service.compute(
            lambda: draw_found(image, found["detections"], labels, side=side, depth_range=depths)
        )
        return Response(drawn, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _results(queue: Queue, job_id: str, form: str) -> bytes:
    job = _describe(queue, job_id)
    found = answering(lambda: queue.store.results(job_id))
    card = answering(lambda: queue.card(job["model"]["digest"]))
    images = job["images"]
    return {
        "json": lambda: results.to_json(job, images, found, card.labels, card.task),
        "coco": lambda: results.to_coco(images, found, card.labels),
        "csv": lambda: results.to_csv(images, found),
        "voc": lambda: results.to_voc(images, found),
    }[form]()


def _stored_image(queue: Queue, job_id: str, number: int) -> tuple[str, Any, list[str]]:
    fields = _fields(queue, job_id)
    if number >= int(fields["total"]):
        raise Refusal(404, f"The job has {fields['total']} images, counted from 0.")
    states = answering(lambda: queue.store.states(job_id))
    stored = answering(lambda: queue.store.result(job_id, number))
    card = answering(lambda: queue.card(fields["model"]))
    return states.get(number, {"state": "waiting"})["state"], stored, card.labels


def _queue(service: Service) -> Queue:
    if service.queue is None:
        raise Refusal(503, "The service has no queue: jobs are not taken.", 60)
    return service.queue


def _fields(queue: Queue, job_id: str) -> dict[str, str]:
    fields = answering(lambda: queue.store.fields(job_id))
    if fields is None:
        raise Refusal(404, "There is no such job: it was never there, or it has expired.")
    return fields


def _list(queue: Queue) -> list[dict[str, Any]]:
    rows = answering(lambda: [queue.store.fields(job_id) for job_id in queue.store.job_ids()])
    return [describe_job(fields, queue.model_name(fields["model"])) for fields in rows if fields]


def _describe(queue: Queue, job_id: str) -> dict[str, Any]:
    fields = _fields(queue, job_id)
    states = answering(lambda: queue.store.states(job_id))
    waiting = {"state": "waiting", "error": None}
    names = enumerate(json.loads(fields["names"]))
    images = [{"n": number, "name": name} | states.get(number, waiting) for number, name in names]
    return describe_job(fields, queue.model_name(fields["model"])) | {"images": images}


class _Upload:
    """The images of a request, which can be gone through again and again, one in memory at a time."""

    def __init__(self, service: Service, source: FormData | bytes) -> None:
        self._limits, self._source = service.config.limits, source

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        if isinstance(self._source, bytes):
            yield from self._unpack(self._source)
            return
        for upload in self._source.getlist("images"):
            if isinstance(upload, UploadFile):
                yield upload.filename or "", self._read(upload)
        for upload in self._source.getlist("archive"):
            if isinstance(upload, UploadFile):
                upload.file.seek(0)
                yield from self._unpack(upload.file.read())

    def _read(self, upload: UploadFile) -> bytes:
        upload.file.seek(0)
        content = upload.file.read(self._limits.image_bytes + 1)
        if len(content) > self._limits.image_bytes:
            raise too_large(self._limits)
        return content

    def _unpack(self, archive: bytes) -> Iterator[tuple[str, bytes]]:
        if not is_archive(archive):
            raise Refusal(415, "The archive is no .zip: send one, or the images themselves as `images`.")
        yield from read_zip(archive, self._limits)


def _accept(service: Service, upload: _Upload, order: Order, digest: str) -> dict[str, Any]:
    """Check all images, then store them and send their tasks.

    Args:
        service: of the application.
        upload: the images.
        order: what is asked for; what the images tell is filled in.
        digest: of the model to use.
    """
    queue, limits, room = _queue(service), service.config.limits, service.config.queue
    # What an empty queue has no room for will never be taken: no 429.
    most_images, most_bytes = min(limits.job_images, room.max_images), min(limits.job_bytes, room.max_bytes)

    def checked() -> Iterator[tuple[str, bytes]]:
        for name, content in upload:
            order.names.append(safe_name(name, len(order.names)))
            order.size_bytes += len(content)
            if len(order.names) > most_images:
                raise Refusal(413, f"A job may have {most_images} images: send them in parts.")
            if order.size_bytes > most_bytes:
                raise Refusal(413, f"The images of a job may have {most_bytes} bytes: send them in parts.")
            yield order.names[-1], content

    order.fingerprint = fingerprint_of([order.variant, order.min_score, *order.viewing_parts], checked())
    if not order.names:
        raise Refusal(422, "There is no image in the request: send files `images`, or a .zip with images in it.")
    queue.check_room(order.size_bytes)
    images = ((number, content) for number, (_, content) in enumerate(upload))
    job_id, new = answering(lambda: queue.accept(order, images, digest))
    if new:
        service.metrics.jobs.inc()
        log("job accepted", job=job_id, images=len(order.names), bytes=order.size_bytes)
    return _describe(queue, job_id)
