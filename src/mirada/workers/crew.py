"""Jobs done by several threads of one process, each with tools of its own; the results come in the order of the jobs."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Tool = TypeVar("Tool")
Result = TypeVar("Result")


def share_out(tools: Sequence[Tool], work: Callable[[Tool, Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Do jobs, as many at a time as there are tools; what waits is bounded.

    Args:
        tools: at least one; each does one job at a time. A single one needs no thread.
        work: done with a tool.
        jobs: taken as they are needed.
    """
    if len(tools) == 1:
        for job in jobs:
            yield work(tools[0], job)
        return
    free: queue.SimpleQueue[Tool] = queue.SimpleQueue()
    for tool in tools:
        free.put(tool)

    def one(job: Job) -> Result:
        tool = free.get()
        try:
            return work(tool, job)
        finally:
            free.put(tool)

    with ThreadPoolExecutor(len(tools)) as pool:
        waiting: deque[Future[Result]] = deque()
        for job in jobs:
            waiting.append(pool.submit(one, job))
            if len(waiting) > 2 * len(tools):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
