"""How many predictions a second the service answers, against the interpreter alone.

    python benchmarks/service.py --models models --data data/processed

The ways, all run in each round on the same images and as many threads:

- interpreter: LiteRT alone, over pixels that are decoded already: nothing that serves images can be faster.
- functions: from the file's bytes to boxes, without HTTP: decoding, the interpreter, non-maximum suppression.
- 1, 8 and 64 clients: `src/serve.py` over loopback, each client with a connection of its own, sending its next image when
  it has the answer to the last. All clients are one asyncio process that writes requests made beforehand and reads no
  more of an answer than its length: it takes some 3 % of one core; an HTTP library would take more from those it measures.

Uses the models that `make run` has left and the test images. Takes about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Panel, figure, machine, make_parser, ratio, report, spread, take_turns

PROJECT = Path(__file__).resolve().parents[1]
CLIENTS = (1, 8, 64)


@dataclass
class Load:
    """What clients saw: predictions a second, seconds of each, and answers that were no 200, by status."""

    rate: float
    latencies_s: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    client_cpu: float = 0.0


def read_images(data_dir: Path, count: int) -> list[bytes]:
    """Files of the test split."""
    from mirada.data.records import load_dataset

    images = []
    for example in load_dataset(data_dir).examples("test"):
        images.append(example.image)
        if len(images) == count:
            break
    return images


def run_threads(work: Callable[[int], Callable[[int], object]], threads: int, seconds: float) -> float:
    """Calls a second of functions that each thread makes for itself."""
    made = [work(number) for number in range(threads)]
    counts, stop = [0] * threads, threading.Event()

    def loop(number: int) -> None:
        at = number
        while not stop.is_set():
            made[number](at)
            at += threads
            counts[number] += 1

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)


def measure_interpreter(arguments: argparse.Namespace, images: list[bytes]) -> float:
    """LiteRT alone."""
    from mirada.data.images import decode
    from mirada.inference.card import load_card
    from mirada.inference.litert import Model

    card = load_card(arguments.models / "train")
    pixels = [decode(image, card.channels) for image in images]
    path = arguments.models / "quantize" / f"{arguments.variant}.tflite"

    def make(number: int) -> Callable[[int], object]:
        model = Model(path, card)

        def invoke(at: int) -> None:
            model.set_image(pixels[at % len(pixels)])
            model.invoke()

        invoke(0)
        return invoke

    return run_threads(make, arguments.threads, arguments.seconds)


def measure_functions(arguments: argparse.Namespace, images: list[bytes], folder: Path) -> float:
    """What the service does to an image, without HTTP."""
    from mirada.config import LimitsConfig
    from mirada.inference.tiling import Viewing
    from mirada.service.model.bundle import copy_model
    from mirada.service.model.predictor import Predictor

    bundle = copy_model(arguments.models / "train", arguments.models / "quantize", folder)

    def make(number: int) -> Callable[[int], object]:
        predictor, whole = Predictor(bundle, LimitsConfig()), Viewing("whole")
        predictor.predict(images[0], arguments.variant, 0.25, whole)
        return lambda at: json.dumps(
            predictor.predict(images[at % len(images)], arguments.variant, 0.25, whole).content
        )

    return run_threads(make, arguments.threads, arguments.seconds)


class Client(asyncio.Protocol):
    """One connection that sends the next request when it has the answer to the last."""

    def __init__(self, requests: list[bytes], at: int, load: Load, until: float) -> None:
        self._requests, self._at, self._load, self._until = requests, at, load, until
        self._have, self._need, self._sent = bytearray(), -1, 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._have.clear()
        self._need, self._sent = -1, time.perf_counter()
        self._transport.write(self._requests[self._at % len(self._requests)])
        self._at += 1

    def data_received(self, data: bytes) -> None:
        self._have += data
        if self._need < 0 and (end := self._have.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._have[:end]).lower()
            length = head.index(b"content-length:") + 15
            self._need = end + 4 + int(head[length : (head + b"\r\n").index(b"\r\n", length)])
        if 0 <= self._need <= len(self._have):
            self._answered()

    def _answered(self) -> None:
        now, status = time.perf_counter(), bytes(self._have[9:12]).decode()
        if status == "200":
            self._load.latencies_s.append(now - self._sent)
        else:
            self._load.refused[status] = self._load.refused.get(status, 0) + 1
        if now < self._until:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._load.refused["cut off"] = self._load.refused.get("cut off", 0) + 1
            self.done.set_result(None)


async def load_service(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Send requests from so many clients for so long."""
    load, loop, started, cpu = Load(0.0), asyncio.get_running_loop(), time.perf_counter(), time.process_time()
    until, protocols = started + seconds, []
    for number in range(clients):
        _, protocol = await loop.create_connection(
            lambda at=number: Client(requests, at * 7, load, until),
            "127.0.0.1",
            port,  # type: ignore[misc]
        )
        protocols.append(protocol)
    await asyncio.gather(*(protocol.done for protocol in protocols))
    took = time.perf_counter() - started
    load.rate, load.client_cpu = len(load.latencies_s) / took, (time.process_time() - cpu) / took
    return load


@contextmanager
def served(arguments: argparse.Namespace, folder: Path) -> Iterator[int]:
    """The service, without workers; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        sys.executable,
        str(PROJECT / "src/serve.py"),
        f"port={port}",
        f"var_dir={folder / 'var'}",
        "queue.workers=0",
    ]
    command += [f"model_dir={arguments.models / 'train'}", f"variants_dir={arguments.models / 'quantize'}"]
    command += [f"threads={arguments.threads}", f"variant={arguments.variant}", "watch_s=0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def run(arguments: argparse.Namespace, folder: Path) -> tuple[list[Figure], list[Panel]]:
    """All ways in turns."""
    images = read_images(arguments.data, 64)
    # The shards hold tiles as the network sees them: looked at as a whole, each is one inference.
    head = "POST /v1/predict?view=whole HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    requests = [head.format(len(image)).encode() + image for image in images]
    loads: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}

    with served(arguments, folder) as port:

        def clients(count: int) -> Callable[[int], float]:
            def way(number: int) -> float:
                load = asyncio.run(load_service(port, requests, count, arguments.seconds))
                loads[count].append(load)
                return load.rate

            return way

        ways: dict[str, Callable[[int], float]] = {
            "interpreter": lambda number: measure_interpreter(arguments, images),
            "functions": lambda number: measure_functions(arguments, images, folder),
        }
        ways |= {f"{count} client{'s' if count > 1 else ''}": clients(count) for count in CLIENTS}
        rates = take_turns(ways, arguments.rounds, warmup=1)
    return judge(rates, loads), [Panel("predictions a second", "1/s", rates)]


def judge(rates: dict[str, list[float]], loads: dict[int, list[Load]]) -> list[Figure]:
    """Ratios, times and refusals; the first load of each is the warming up."""
    alone, bare = ratio(rates["8 clients"], rates["interpreter"]), ratio(rates["8 clients"], rates["functions"])
    figures = [
        figure("8 clients against the functions", bare, "x", goal=0.85, limit=1.0, limit_is="them without HTTP"),
        figure("8 clients against the interpreter", alone, "x", goal=0.85, limit=1.0, limit_is="nothing but it"),
        figure("functions against the interpreter", ratio(rates["functions"], rates["interpreter"]), "x"),
    ]
    for count, kept in loads.items():
        seconds = [np.percentile(load.latencies_s, (50, 99)) * 1000 for load in kept[1:]]
        figures.append(figure(f"p50 at {count}", spread([float(pair[0]) for pair in seconds]), "ms", lower=True))
        figures.append(figure(f"p99 at {count}", spread([float(pair[1]) for pair in seconds]), "ms", lower=True))
        refused = [sum(n for status, n in load.refused.items() if status != "429") for load in kept]
        figures.append(Figure(f"errors but 429 at {count}", float(sum(refused)), "answers", goal=0.0, lower=True))
        busy = sum(load.refused.get("429", 0) for load in kept)
        cpu = float(np.median([load.client_cpu for load in kept]))
        print(f"{count}: answered 429: {busy}; CPU of the clients: {cpu:.1%} of a core")
    return figures


def main() -> None:
    """Measure and report."""
    parser = make_parser(str(__doc__), rounds=3)
    parser.add_argument("--models", type=Path, default=PROJECT / "models", help="folder of train/ and quantize/")
    parser.add_argument("--data", type=Path, default=PROJECT / "data/processed", help="folder of the shards")
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each way in each round")
    arguments, started, computer = parser.parse_args(), time.perf_counter(), machine()
    if not (arguments.models / "quantize" / f"{arguments.variant}.tflite").is_file():
        sys.exit(f"error: {arguments.models} holds no model to serve: run `make run` first, or name one with --models.")
    with tempfile.TemporaryDirectory(prefix="mirada-service-") as folder:
        figures, panels = run(arguments, Path(folder))
    report("service", figures, panels, arguments, computer, started)


if __name__ == "__main__":
    main()
