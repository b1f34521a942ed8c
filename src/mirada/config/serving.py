"""Settings of the service: `serve`, which starts all of it, and `worker`, which adds a worker to a queue."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mirada.config.checks import at_least, between, greater_than, require
from mirada.config.commands import command

SCOPES = ("predict", "jobs", "admin")  # what an API key may be for


@dataclass
class LimitsConfig:
    """What an upload may be; more is refused before it is decoded."""

    image_bytes: int = 20_000_000  # of an image as it comes
    image_pixels: int = 50_000_000  # of an image, decoded
    job_images: int = 1000  # of a job
    job_bytes: int = 256_000_000  # of one request, and of what an archive holds
    zip_ratio: float = 100.0  # unpacked to packed bytes of an entry
    body_s: float = 60.0  # so long a client may take to send the headers of a request, and its body
    max_detections: int = 1000  # of an image that an answer holds, the best; it says how many were left out
    tiles: int = 10_000  # that an image may be cut into
    predict_s: float = 120.0  # so long a prediction may take, waiting included
    uploads: int = 8  # jobs that are being taken in at a time; the next one is told to come back
    waiting: int = 128  # predictions that may wait for a thread; the next one is told to come back

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        whole = (
            "image_bytes",
            "image_pixels",
            "job_images",
            "job_bytes",
            "uploads",
            "waiting",
            "max_detections",
            "tiles",
        )
        for key in whole:
            at_least(f"limits.{key}", getattr(self, key), 1)
        at_least("limits.zip_ratio", self.zip_ratio, 1)
        for key in ("body_s", "predict_s"):
            greater_than(f"limits.{key}", getattr(self, key), 0)


@dataclass
class QueueConfig:
    """The task queue."""

    url: str | None = None  # redis://, rediss:// or redis+socket:// of your own; null: a private Redis below var_dir
    workers: int = 2  # processes; 0: only those that `worker.py` adds
    images_per_task: int = 8  # that a worker takes at a time
    max_images: int = 5000  # that wait for a worker; a job that would exceed it is answered 429
    max_bytes: int = 1_000_000_000  # of images in the store, of jobs that are not expired
    keep_s: float = 86_400.0  # so long a job and its results stay after its end
    retry_after_s: int = 5  # what a 429 tells a client to wait
    lost_after_s: float = 10.0  # a task whose worker was killed is handed out again after that
    min_free_bytes: int = 500_000_000  # of the private Redis' disk; below it no job is accepted

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        known = ("redis://", "rediss://", "redis+socket://")
        require(
            self.url is None or self.url.startswith(known),
            f"queue.url must begin with {', '.join(known)}, got {self.url!r}.",
        )
        for key in ("workers", "min_free_bytes"):
            at_least(f"queue.{key}", getattr(self, key), 0)
        for key in ("images_per_task", "max_images", "max_bytes", "retry_after_s", "lost_after_s"):
            at_least(f"queue.{key}", getattr(self, key), 1)
        greater_than("queue.keep_s", self.keep_s, 0)


@command("serve")
@dataclass
class ServeConfig:
    """Settings of `serve`."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: a free one
    hosts: list[str] = field(default_factory=list)  # names in a request's Host header; empty: see `safety.known_hosts`
    root_path: str = ""  # below which a proxy shows the service, as in /mirada
    origins: list[str] = field(
        default_factory=list
    )  # addresses at which a proxy shows it, as in https://mirada.example
    proxies: list[str] = field(default_factory=list)  # addresses of proxies whose X-Forwarded-For is believed
    keys: str | None = None  # file of API keys that `keys` writes; null: none
    audit: str | None = None  # file of who asked for what; null: none
    registered: str | None = None  # models:/<name>@<alias> in the MLflow registry; null: the folders below
    model_dir: str = "models/train"  # holds model.json
    variants_dir: str = "models/quantize"  # holds variants.json and the .tflite files
    metrics: str = "reports/evaluate/metrics.json"  # figures to show; may be absent
    variant: str | None = (
        None  # what is used where a request names none; null: best, else the smallest int8, else the first
    )
    min_score: float | None = None  # where a request names none; null: the card's
    threads: int = 0  # inferences at a time in the API; 0: one a processor
    watch_s: float = 2.0  # so often the folders are looked at for a newer model; 0: never
    stop_s: float = 30.0  # so long what runs may take to finish when the service ends
    var_dir: str = "var"  # what the queue keeps on the disk
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        between("port", self.port, 0, 65535)
        if self.min_score is not None:
            between("min_score", self.min_score, 0.0, 1.0)
        require(
            re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.root_path) is not None
            and self.root_path.split("/")[1:2] != ["v1"],
            f"root_path must be a path that begins with / and does not end with it, as in /mirada, got {self.root_path!r}.",
        )
        for origin in self.origins:
            require(
                re.fullmatch(r"https?://[^/\s]+", origin) is not None,
                f"origins must be like https://mirada.example, with neither a path nor a slash at the end, got {origin!r}.",
            )
        for key in ("threads", "watch_s", "stop_s"):
            at_least(key, getattr(self, key), 0)
        require(
            self.registered is None or self.registered.startswith("models:/"),
            f"registered must be models:/<name>@<alias> or models:/<name>/<version>, got {self.registered!r}.",
        )


@command("keys")
@dataclass
class KeysConfig:
    """Settings of `keys`: it makes, rotates or revokes an API key of a service, and lists them."""

    file: str = "var/keys.json"
    add: str | None = None  # a name for the new key
    rotate: str | None = None  # name of a key that gets a successor
    revoke: str | None = None  # name of a key that ends at once
    scopes: list[str] = field(default_factory=lambda: ["predict"])  # of a new key: predict, jobs, admin
    per_minute: float = 0.0  # requests that a new key may make; 0: any number
    grace_h: float = 24.0  # so long a rotated key works beside its successor

    def __post_init__(self) -> None:
        """Refuse values out of range, and two wishes at once."""
        wishes = [key for key in ("add", "rotate", "revoke") if getattr(self, key) is not None]
        require(len(wishes) < 2, f"{' and '.join(wishes)} can't be done at once: name one of them.")
        for key in wishes:
            name = getattr(self, key)
            require(
                re.fullmatch(r"[A-Za-z0-9._-]{1,40}", name) is not None,
                f"{key} must be a name of at most 40 letters, digits and ._-, got {name!r}.",
            )
        unknown = [scope for scope in self.scopes if scope not in SCOPES]
        require(bool(self.scopes) and not unknown, f"scopes must be of {', '.join(SCOPES)}, got {list(self.scopes)}.")
        for key in ("per_minute", "grace_h"):
            at_least(key, getattr(self, key), 0)


@command("worker")
@dataclass
class WorkerConfig:
    """Settings of `worker`."""

    var_dir: str = "var"  # models that the queue brings lie below it
    queue: QueueConfig = field(default_factory=QueueConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
