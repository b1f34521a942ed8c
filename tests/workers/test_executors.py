import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mirada.errors import MiradaError
from mirada.workers import executors
from mirada.workers.executors import make_executor, map_bounded


def double(number: int) -> int:
    time.sleep(0.02 if number % 5 == 0 else 0)  # some are slow, so that others overtake them
    return 2 * number


def die_at_seven(number: int) -> int:
    if number == 7:
        os._exit(3)
    time.sleep(0.01)
    return number


def die_while_sending(number: int) -> bytes:
    if number == 7:

        def send_half(self: Connection, message: bytes) -> None:
            os.write(self.fileno(), bytes(message)[: len(message) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        Connection._send = send_half  # type: ignore[attr-defined]
    return bytes(100_000)


def refuse(number: int) -> int:
    raise MiradaError(f"{number} is wrong.")


def surroundings(number: int) -> tuple[int, bool, bool, int]:
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return os.getpid(), "tensorflow" in sys.modules, ignored, threading.active_count()


def test_results_keep_the_order_of_the_items() -> None:
    finished: list[int] = []
    with make_executor(2) as executor:
        results = list(map_bounded(executor, double, range(53), chunk=3, window=4, on_done=finished.append))
    assert results == [2 * number for number in range(53)]
    assert sum(finished) == 53


def test_no_items_give_no_results() -> None:
    with make_executor(1) as executor:
        assert list(map_bounded(executor, double, [])) == []


def test_items_are_drawn_as_they_are_needed() -> None:
    drawn = 0

    def items():  # type: ignore[no-untyped-def]
        nonlocal drawn
        for number in range(10_000):
            drawn += 1
            yield number

    with make_executor(2) as executor:
        results = map_bounded(executor, double, items(), chunk=2, window=3)
        assert next(results) == 0
        assert drawn <= 2 * 3 * 4
        results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dead_worker_names_what_it_had_in_hand(workers: int) -> None:
    with (
        make_executor(workers) as executor,
        pytest.raises(MiradaError, match=r"^A worker process died while it worked on picture 7: look at that file"),
    ):
        list(map_bounded(executor, die_at_seven, range(20), chunk=3, name=lambda number: f"picture {number}"))


def test_a_worker_that_dies_while_it_sends_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool alone would wait for ever for the other half of the message."""
    monkeypatch.setattr(executors, "PATIENCE_S", 0.2)
    with make_executor(2) as executor, pytest.raises(MiradaError, match="A worker process died"):
        list(map_bounded(executor, die_while_sending, range(20), name="item-{}".format))


def test_a_mistake_in_a_worker_arrives_as_it_is() -> None:
    with make_executor(1) as executor, pytest.raises(MiradaError, match=r"^4 is wrong\.$"):
        list(map_bounded(executor, refuse, [4]))


def test_workers_inherit_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)  # as if the parent had loaded it
    with make_executor(1) as executor:
        ((pid, tensorflow, ignores_interrupts, _),) = map_bounded(executor, surroundings, [0])
    assert pid != os.getpid()
    assert not tensorflow
    assert ignores_interrupts


def test_modules_are_found_where_the_parent_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def triple(number):\n    return 3 * number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    with make_executor(1) as executor:
        assert list(map_bounded(executor, only_here.triple, [1, 2])) == [3, 6]
