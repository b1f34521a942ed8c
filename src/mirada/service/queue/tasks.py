"""The task queue: Celery on Redis, set so that a task outlives its worker.

A task is a few images of a job. It may run twice, and a message may be lost with a worker that was killed as it received it:
results are kept once (`scripts.FINISH`), and `resend` sends again what has none.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from celery import Celery

from mirada.config import QueueConfig
from mirada.service.queue.store import PREFIX, JobStore

QUEUE = "mirada"
TASK = "mirada.predict"
QUIET_S = 60.0  # a job of which nothing was heard for so long is sent again, whatever else is in the queue


def make_celery(config: QueueConfig, url: str) -> Celery:
    """Celery's application."""
    app = Celery("mirada", broker=url.replace("unix://", "redis+socket://", 1), set_as_current=False)
    app.conf.update(
        # By default Celery takes any certificate. A URL with parameters of its own (?ssl_ca_certs=…) is heard all the same.
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else False,
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "visibility_timeout": config.lost_after_s,
            "unacked_restore_interval": 1,  # with the default, 10 by 10, it looks for lost tasks every 100 s only
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_timeout": 20,
        },
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0.05, "interval_step": 0.1, "interval_max": 0.5},
    )
    return app


def send(app: Celery, job_id: str, numbers: Sequence[int], images_per_task: int) -> None:
    """Send images of a job as tasks.

    Args:
        app: Celery's.
        job_id: of the job.
        numbers: of its images.
        images_per_task: how many go together.
    """
    with app.producer_pool.acquire(block=True, timeout=10) as producer:
        for at in range(0, len(numbers), images_per_task):
            app.send_task(TASK, (job_id, list(numbers[at : at + images_per_task])), producer=producer)


class Resender:
    """Sends again what was accepted and has neither result nor task."""

    def __init__(self, app: Celery, store: JobStore) -> None:
        self._app, self._store, self._was_empty = app, store, False

    def resend(self) -> int:
        """Look once; returns how many images were sent again."""
        empty = self._store.tasks_in_queue(QUEUE) == 0
        # Between the queue and a worker's hand a message is in neither for a moment: so it has to be empty twice.
        lost = self._store.lost_images(QUIET_S, empty and self._was_empty)
        self._was_empty = empty
        for job_id, numbers in lost.items():
            send(self._app, job_id, numbers, self._store.config.images_per_task)
        return sum(map(len, lost.values()))
