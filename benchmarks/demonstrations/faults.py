"""What becomes of a job when a part of the service is killed in the middle of it.

    python benchmarks/demonstrations/faults.py --images 500

Starts the service (`src/serve.py`) with files of its own, sends a job for each fault, kills the part when a tenth of the
images is done, and waits for the job's end. Then it asks: has every image its one result, and is that what a single
prediction of the same image gives? Serves the model that `make run` left, or another one (`--model-dir`,
`--variants-dir`). The fault of the full disk needs root, for a file system of its own in memory. Takes about 80 seconds
with 500 images on two cores. Exits with 1 where a result is missing, wrong or there twice.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
SIDE, DIFFERENT = 450, 8  # pixels of an image; how many different ones there are
WAIT_S = 300.0


@dataclass
class Row:
    """What was done and what came out."""

    fault: str
    what: str
    results: int = 0
    twice: int = 0
    wrong: int = 0
    seconds: float = 0.0
    note: str = ""

    def holds(self, images: int) -> bool:
        """Whether every image has its one result."""
        return self.results == images and self.twice == 0 and self.wrong == 0


@dataclass
class Service:
    """`src/serve.py` with its own files."""

    folder: Path
    arguments: argparse.Namespace
    more: tuple[str, ...] = ()
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(PROJECT / "src/serve.py"), f"var_dir={self.folder / 'var'}", f"port={self.port}"]
        command += [f"{key}={getattr(self.arguments, key)}" for key in ("model_dir", "variants_dir")]
        command += [f"queue.lost_after_s={self.arguments.lost_after}", "queue.workers=2", *self.more]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=PROJECT)
        self.until_ready()

    def until_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200

        until(ready, "the service to be ready")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def children(self, name: str) -> list[psutil.Process]:
        """Its processes of a name: 'worker', 'api' or 'redis'."""
        assert self.process is not None
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if name in " ".join(child.cmdline()[:3])]

    def kill(self, name: str, most: int = 99) -> None:
        for child in self.children(name)[:most]:
            child.kill()


def until(condition: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    """Wait; what does not answer is a no."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (httpx.HTTPError, KeyError):
            pass
        if time.monotonic() > end:
            sys.exit(f"error: waited {seconds:g} s for {what}.")
        time.sleep(0.05)


def draw_images() -> list[bytes]:
    """A few PNGs that take a while to decode."""
    images = []
    for seed in range(DIFFERENT):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 255, (9, 9, 3), np.uint8)
        pixels = np.kron(small, np.ones((SIDE // 9, SIDE // 9, 1), np.uint8)) + rng.integers(
            0, 8, (SIDE, SIDE, 1), np.uint8
        )
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
        images.append(buffer.getvalue())
    return images


def submit(service: Service, images: list[bytes], count: int, key: str) -> httpx.Response:
    """One job; the same key makes the same job."""
    files = [("images", (f"{n}.png", images[n % DIFFERENT])) for n in range(count)]
    headers = {"Idempotency-Key": key}
    return httpx.post(f"{service.url}/v1/jobs?min_score=0.05", files=files, headers=headers, timeout=120)


def examine(service: Service, job_id: str, expected: list[Any], row: Row) -> None:
    """Count an ended job's results."""
    job = httpx.get(f"{service.url}/v1/jobs/{job_id}/results", timeout=60).json()
    done = [image for image in job["images"] if image["state"] == "done"]
    row.results = len(done)
    row.wrong = sum(image["prediction"]["detections"] != expected[image["n"] % DIFFERENT] for image in done)
    told: list[int] = []
    with httpx.stream("GET", f"{service.url}/v1/jobs/{job_id}/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                told += [image["n"] for image in json.loads(line[5:])["changed"]]
    row.twice = len(told) - len(set(told))


def progress(service: Service, job_id: str) -> int:
    """Images that are done."""
    return int(httpx.get(f"{service.url}/v1/jobs/{job_id}", timeout=30).json()["counts"]["done"])


def ended(service: Service, job_id: str) -> bool:
    """Whether a job has ended."""
    return httpx.get(f"{service.url}/v1/jobs/{job_id}", timeout=30).json()["ended_at"] is not None


def try_fault(
    service: Service, images: list[bytes], expected: list[Any], row: Row, hurt: Callable[[Row], None], count: int
) -> Row:
    """Send a job, hurt the service when a tenth is done, wait for the end and look."""
    started = time.monotonic()
    answer = submit(service, images, count, row.fault)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    until(lambda: progress(service, job_id) >= count // 10, "the first images")
    hurt(row)
    until(lambda: ended(service, job_id), "the job's end")
    row.seconds = time.monotonic() - started
    examine(service, job_id, expected, row)
    return row


def kill_api_at_the_door(service: Service, images: list[bytes], expected: list[Any], row: Row, count: int) -> Row:
    """Kill the API again and again while it takes a job in; the client sends it again, with the same key."""
    started, answers, before = time.monotonic(), [], _jobs(service)

    def send() -> None:
        while not answers:
            try:
                answer = submit(service, images, count, row.fault)
                if answer.status_code == 202:
                    answers.append(answer)
            except httpx.HTTPError:
                pass
            time.sleep(0.1)

    client = threading.Thread(target=send)
    client.start()
    for pause in (0.1, 0.6):
        time.sleep(pause)
        service.kill("service.api")
    client.join(WAIT_S)
    job_id = answers[0].json()["id"]
    until(lambda: ended(service, job_id), "the job's end")
    row.seconds = time.monotonic() - started
    examine(service, job_id, expected, row)
    row.note = f"new jobs: {_jobs(service) - before}"
    assert _jobs(service) == before + 1, row.note
    return row


def _jobs(service: Service) -> int:
    return len(httpx.get(f"{service.url}/v1/jobs", timeout=30).json()["jobs"])


def kill_all(service: Service, row: Row) -> None:
    """As a power cut: the parent is killed, the others must end by themselves; then start again on the same files."""
    assert service.process is not None
    others = psutil.Process(service.process.pid).children(recursive=True)
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    _, alive = psutil.wait_procs(others, timeout=10)
    row.note = f"processes left over after the kill: {len(alive)}"
    service.start()


def fill_disk(service: Service, disk: Path, images: list[bytes], row: Row) -> None:
    """Fill the disk, see a job refused and the service go on, make room again."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(1 << 20))
        except OSError:
            pass
    time.sleep(1)
    until(lambda: submit(service, images, 5, "refused").status_code == 503, "a refusal")
    refusal = submit(service, images, 5, "refused").json()["detail"]
    single = httpx.post(f"{service.url}/v1/predict", files={"image": images[0]}, timeout=30).status_code
    row.note = f"a new job: 503, “{refusal}”; a single prediction: {single}"
    (disk / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A file system of its own."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def run(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """All faults, one after the other."""
    images, count = draw_images(), arguments.images
    service = Service(folder, arguments)
    rows = []
    with ExitStack() as stack:
        service.start()
        stack.callback(service.stop)
        expected = [_single(service, image) for image in images]
        hurts: list[tuple[str, str, Callable[[Row], None]]] = [
            ("none", "nothing", lambda row: None),
            ("worker", "SIGKILL of one worker of two", lambda row: service.kill("service.worker", 1)),
            ("workers", "SIGKILL of both workers", lambda row: service.kill("service.worker")),
            ("redis", "SIGKILL of Redis", lambda row: service.kill("redis")),
            ("api", "SIGKILL of the API", lambda row: service.kill("service.api")),
            ("all", "SIGKILL of `make serve`, started again", lambda row: kill_all(service, row)),
        ]
        for name, what, hurt in hurts:
            rows.append(try_fault(service, images, expected, Row(name, what), hurt, count))
            _show(rows[-1])
        at_the_door = Row("door", "SIGKILL of the API, twice, while it takes the job in")
        rows.append(kill_api_at_the_door(service, images, expected, at_the_door, count))
        _show(rows[-1])
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        print("disk: left out, it needs root to mount a file system", file=sys.stderr)
        return rows
    with small_disk(folder, arguments.disk_mb) as disk, ExitStack() as stack:
        service = Service(disk, arguments, ("queue.min_free_bytes=20000000",))
        service.start()
        stack.callback(service.stop)
        row = Row("disk", "the disk is filled, and later freed")
        rows.append(try_fault(service, images, expected, row, lambda row: fill_disk(service, disk, images, row), count))
        _show(row)
    return rows


def _single(service: Service, image: bytes) -> Any:
    return httpx.post(f"{service.url}/v1/predict?min_score=0.05", files={"image": image}).json()["detections"]


def _show(row: Row) -> None:
    note = f"; {row.note}" if row.note else ""
    counts = f"{row.results} results, {row.twice} twice, {row.wrong} wrong"
    print(f"{row.fault:8} {row.what}: {counts}, {row.seconds:.1f} s{note}", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--model-dir", default="models/train")
    parser.add_argument("--variants-dir", default="models/quantize")
    parser.add_argument(
        "--lost-after", type=float, default=10.0, help="seconds until a killed worker's task is handed out"
    )
    parser.add_argument("--disk-mb", type=int, default=1500, help="size of the small disk")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mirada-faults-") as folder:
        rows = run(arguments, Path(folder))
    if bad := [row.fault for row in rows if not row.holds(arguments.images)]:
        sys.exit(f"error: results are missing, wrong or there twice: {', '.join(bad)}")


if __name__ == "__main__":
    main()
