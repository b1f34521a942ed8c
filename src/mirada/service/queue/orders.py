"""A job as a client orders it, and as the API describes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mirada.inference.tiling import AS_TRAINED, Viewing


@dataclass
class Order:
    """A job on its way into the store.

    Attributes:
        names: of its images.
        size_bytes: of all of them.
        fingerprint: digest of all that the client asked for.
        key: digest of its Idempotency-Key; '' without.
        variant, min_score, request_id, viewing: of the job.
    """

    names: list[str]
    size_bytes: int
    fingerprint: str
    key: str
    variant: str
    min_score: float
    request_id: str
    viewing: Viewing = AS_TRAINED

    @property
    def viewing_parts(self) -> list[str | float | None]:
        """View, tile and overlap, as `read_viewing` takes them."""
        return [self.viewing.view, self.viewing.tile, self.viewing.overlap]


def read_viewing(fields: dict[str, str]) -> Viewing:
    """How a stored job's images are to be looked at; one stored before there was a choice is looked at as trained."""
    return Viewing(*json.loads(fields["viewing"])) if "viewing" in fields else AS_TRAINED


def describe_job(fields: dict[str, str], model_name: str) -> dict[str, Any]:
    """A job as the API gives it, without its images."""
    counts = {key: int(fields[key]) for key in ("total", "done", "failed", "cancelled")}
    viewing = read_viewing(fields)
    ended, state = fields.get("ended_at"), "queued"
    if ended is not None:
        state = "cancelled" if counts["cancelled"] else "done"
    elif "started_at" in fields:
        state = "running"
    return {
        "id": fields["id"],
        "state": state,
        "variant": fields["variant"],
        "min_score": float(fields["min_score"]),
        "view": viewing.view,
        "tile": viewing.tile,
        "overlap": viewing.overlap,
        "model": {"name": model_name, "digest": fields["model"]},
        "counts": counts,
        "created_at": _stamp(float(fields["created_at"])),
        "ended_at": None if ended is None else _stamp(float(ended)),
        "expires_at": None if ended is None else _stamp(float(ended) + float(fields["keep_s"])),
    }


def digest_key(key: str) -> str:
    """An Idempotency-Key as it is kept."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def fingerprint_of(parts: Sequence[str | float | None], images: Iterable[tuple[str, bytes]]) -> str:
    """Digest of all that a client asks for."""
    whole = hashlib.sha256(json.dumps(list(parts)).encode())
    for name, content in images:
        whole.update(json.dumps([name, len(content)]).encode())
        whole.update(content)
    return whole.hexdigest()


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
