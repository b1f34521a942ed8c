"""Preprocessing on Dask, with real schedulers and real workers that really die."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mirada.data.shapes import draw_shapes, write_voc
from mirada.errors import MiradaError
from mirada.workers import dask_cluster
from mirada.workers.dask_cluster import Surroundings, describe_surroundings, open_dask
from mirada.workers.executors import map_bounded

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}


SCHEDULER = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
WORKER = ("--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard")
ADDRESS = r"Scheduler at:\s+(tcp://\S+)"


def anywhere() -> Surroundings:
    return describe_surroundings("raw", [])


@contextmanager
def dask(*command: str, cwd: Path, ready: str) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler or worker of its own, until the block ends; yields what its log says of its address, and its process.

    A scheduler needs no Mirada, so it is not told where that lies.
    """
    environment = {**ENVIRONMENT, "PYTHONPATH": ENVIRONMENT["PYTHONPATH"] if command[0] == "worker" else ""}
    with (cwd / f"{command[0]}.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(300):
                if found := re.search(ready, Path(log.name).read_text()):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(Path(log.name).read_text())
            yield found[found.re.groups and 1], psutil.Process(process.pid)
        finally:
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                child.kill()
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster with two workers."""
    folder = tmp_path_factory.mktemp("dask")
    with (
        dask("scheduler", *SCHEDULER, cwd=folder, ready=ADDRESS) as (found, _),
        dask(
            "worker", found, *WORKER, "--nworkers", "2", cwd=folder, ready=r"(?s)(Starting established connection.*){2}"
        ),
    ):
        yield found


def double(number: int) -> int:
    time.sleep(0.01)
    return 2 * number


def die_once(number: int, marker: Path) -> int:
    if number == 7 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(number)


def die_at_seven(number: int) -> int:
    return number if number != 7 else os._exit(3)


def refuse(number: int) -> int:
    raise MiradaError(f"{number} is wrong.")


@pytest.mark.slow
def test_a_killed_workers_chunk_is_redone(address: str, tmp_path: Path) -> None:
    from functools import partial

    with open_dask(address, 1, anywhere()) as executor:
        assert executor.workers == 2
        work = partial(die_once, marker=tmp_path / "died")
        finished: list[int] = []
        results = list(map_bounded(executor, work, range(60), chunk=4, window=6, on_done=finished.append))
    assert (tmp_path / "died").exists()
    assert results == [2 * number for number in range(60)]
    assert sum(finished) == 60


@pytest.mark.slow
def test_a_file_that_kills_every_worker_is_named(address: str) -> None:
    with (
        open_dask(address, 1, anywhere()) as executor,
        pytest.raises(MiradaError, match=r"^Worker after worker died while it worked on item-6, item-7: look at"),
    ):
        # One chunk at a time: Dask blames each chunk that a worker held when it died, also one that only waited there.
        list(map_bounded(executor, die_at_seven, range(20), chunk=2, window=1, name="item-{}".format))


def test_a_mistake_in_a_worker_arrives_as_it_is(address: str) -> None:
    with open_dask(address, 1, anywhere()) as executor, pytest.raises(MiradaError, match=r"^4 is wrong\.$"):
        list(map_bounded(executor, refuse, [4]))


def unseen(tmp_path: Path) -> Surroundings:
    return replace(anywhere(), raw_dir="/data/raw", files=(("/data/raw/a.jpg", 7),))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (unseen, r"^The worker tcp://\S+ can't see the raw files in /data/raw: put them on a file system that all"),
        (
            lambda path: replace(anywhere(), libraries=(("numpy", "0.1"),)),
            r"^The worker tcp://\S+ has numpy [\d.]+, this",
        ),
        (lambda path: replace(anywhere(), code="other"), r"^The worker tcp://\S+ runs other code of Mirada than this"),
    ],
)
def test_a_worker_that_would_make_something_else(
    address: str, tmp_path: Path, wanted: Callable[[Path], Surroundings], message: str
) -> None:
    with open_dask(address, 1, wanted(tmp_path)) as executor, pytest.raises(MiradaError, match=message):
        list(map_bounded(executor, double, [1]))


def test_a_worker_without_mirada(address: str, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("def triple(number):\n    return 3 * number\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        with (
            open_dask(address, 1, anywhere()) as executor,
            pytest.raises(
                MiradaError, match=r"^A worker of the cluster at tcp://\S+ can't import what it needs \(No mod"
            ),
        ):
            list(map_bounded(executor, only_here.triple, [1]))
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.slow
def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    with (
        dask("scheduler", *SCHEDULER, cwd=tmp_path, ready=ADDRESS) as (address, _),
        pytest.raises(MiradaError, match=r"has no worker: start some with `dask worker tcp://"),
        open_dask(address, 1, anywhere()),
    ):
        pass


def test_a_lost_connection_ends_the_work(address: str) -> None:
    """Dask leaves a chunk whose result it was fetching for ever as it is."""
    with open_dask(address, 1, anywhere()) as executor:
        executor.look_after()
        executor._connection = None
        with pytest.raises(MiradaError, match=r"^The cluster at tcp://\S+ went away in the middle of the work"):
            executor.look_after()


@pytest.mark.slow
def test_a_scheduler_that_goes_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(MiradaError, match=r"^The cluster at tcp://\S+ went away in the middle of the work: start it"),
        dask("scheduler", *SCHEDULER, cwd=tmp_path, ready=ADDRESS) as (address, scheduler),
        dask("worker", address, *WORKER, cwd=tmp_path, ready=r"Starting established connection"),
        open_dask(address, 1, anywhere()) as executor,
    ):
        results = map_bounded(executor, double, range(100_000), chunk=2)
        next(results)
        scheduler.kill()
        list(results)
    assert not {record.name for record in caplog.records} & {"distributed.client", "tornado.application"}


@pytest.mark.slow
def test_a_scheduler_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        started = time.monotonic()
        result = subprocess.run(
            [sys.executable, ROOT / "src/preprocess.py", "executor=dask", "data=shapes", f"raw_dir={draw(tmp_path, 3)}"]
            + [f"executor.address=tcp://127.0.0.1:{taken.getsockname()[1]}", f"hydra.run.dir={tmp_path / 'out'}"],
            capture_output=True,
            text=True,
        )
    assert time.monotonic() - started < 60
    assert result.returncode == 1
    assert re.fullmatch(
        r"error: The Dask scheduler at tcp://127\.0\.0\.1:\d+ can't be reached \(.*\): start it with .*\n",
        result.stderr,
    )


def test_what_answers_is_no_scheduler() -> None:
    """Left alone, Dask's half-made client holds up the end of the process for 10 s, with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError), server.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
                connection.recv(4096)

        threading.Thread(target=answer, daemon=True).start()
        program = "import sys; from mirada.workers.dask_cluster import *; open_dask(sys.argv[1], 1, None).__enter__()"
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        command = [sys.executable, "-c", program, address]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert time.monotonic() - started < 60
    assert done.stderr.splitlines()[-1].startswith(
        f"mirada.errors.MiradaError: The Dask scheduler at {address} can't be reached (what answers there does not speak"
    )


def draw(folder: Path, count: int) -> Path:
    raw_dir = folder / "raw"
    raw_dir.mkdir()
    for index in range(count):
        image, boxes = draw_shapes(index, 2, 3, 256, seed=0)
        image.save(raw_dir / f"{index:04d}.png")
        write_voc(raw_dir / f"{index:04d}.png", 256, 256, boxes)
    return raw_dir


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MiradaError, match=r"pip install 'mirada\[dask\]'\.$"), open_dask(None, 1, anywhere()):
        pass


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_the_same_bytes_with_a_worker_killed_in_the_middle(tmp_path: Path) -> None:
    """A cluster of its own, and processes."""
    draw(tmp_path, 240)
    command = [sys.executable, str(ROOT / "src/preprocess.py"), "data=shapes", f"raw_dir={tmp_path / 'raw'}"]
    command += ["input_size=64", f"hydra.run.dir={tmp_path / 'hydra'}", "chunk_images=2", "tracking.enabled=false"]
    subprocess.run([*command, f"output_dir={tmp_path / 'processes'}"], check=True, capture_output=True)
    with subprocess.Popen(
        [*command, f"output_dir={tmp_path / 'dask'}", "executor=dask"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        assert re.match(r"The cluster on this machine has 2 workers; dashboard: http://127\.0\.0\.1:\d+/status", first)
        spool = tmp_path / f".dask.partial-{run.pid}" / "spool"
        while run.poll() is None and not (spool.is_file() and spool.stat().st_size > 0):
            time.sleep(0.002)
        worker = next(
            child for child in psutil.Process(run.pid).children() if "spawn_main" in " ".join(child.cmdline())
        )
        worker.kill()
        rest = run.stdout.read()
    assert run.returncode == 0, rest
    assert "Restarting worker" in rest
    assert shards(tmp_path / "dask") == shards(tmp_path / "processes")
    assert not list(tmp_path.glob(".dask*"))


def test_the_code_that_is_compared_is_what_workers_import() -> None:
    listing = (
        "import sys, mirada.data.alike.reading, mirada.data.photographs; "
        "print(*(name for name in sys.modules if name.startswith('mirada.')))"
    )
    found = subprocess.run([sys.executable, "-c", listing], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    imported = {name.removeprefix("mirada.") for name in found.stdout.split()}
    without_a_say = {"data", "errors", "files", "storage"} | {
        name for name in imported if name.partition(".")[0] == "config"
    }
    assert imported - without_a_say == {f"data.{name}" for name in dask_cluster.MODULES}
