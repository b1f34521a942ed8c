"""TensorFlow's side of a training over several workers: the strategy, what they tell each other, and the end of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
from tensorflow.python.eager import context
from tensorflow.python.framework import errors

from mirada.errors import MiradaError
from mirada.workers.peers import Cluster, PeerWatch


def make_strategy(cluster: Cluster, gpus: int) -> tf.distribute.MultiWorkerMirroredStrategy:
    """`MultiWorkerMirroredStrategy`; it waits for nobody yet.

    TensorFlow has two ways to notice that a worker is gone: its coordination service takes 10 s and wants all to end at the
    same time, its older check takes half a minute. Both are off, as `watched` looks.

    Args:
        cluster: the workers.
        gpus: how many of this worker's GPUs to use; 0: its CPU.

    Raises:
        MiradaError: TensorFlow has worked in this process before.
    """
    CollectiveAllReduceExtended._enable_check_health = False
    addresses = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        addresses, task_type="worker", task_id=cluster.index, num_accelerators={"GPU": gpus}, rpc_layer="grpc"
    )
    try:
        context.context().configure_coordination_service(service_type="")
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise MiradaError(
            f"TensorFlow can't start as {cluster.name(cluster.index)} ({str(error).splitlines()[0]}): each worker needs a "
            "process of its own."
        ) from error


def gather(strategy: tf.distribute.Strategy, cluster: Cluster, number: float) -> list[float]:
    """A number of every worker, in their order; each waits for all others here."""
    numbers = np.zeros(cluster.workers)
    numbers[cluster.index] = number
    found = strategy.reduce(tf.distribute.ReduceOp.SUM, tf.constant(numbers), axis=None)
    return [float(value) for value in found.numpy()]


@contextmanager
def watched(strategy: tf.distribute.Strategy, cluster: Cluster, wait_s: float) -> Iterator[None]:
    """For as long as the block runs, the end of another worker ends this one; all leave the block together.

    Args:
        strategy: what `make_strategy` made.
        cluster: the workers.
        wait_s: how long the others may take to get here.

    Raises:
        MiradaError: another worker is gone; the sentence names it.
    """
    watch = PeerWatch(cluster, wait_s, lambda why: context.context().abort_collective_ops(errors.UNAVAILABLE, why))
    try:
        yield
        with suppress(tf.errors.OpError):  # who is gone by now had finished
            gather(strategy, cluster, 0)
    except tf.errors.OpError as error:
        first = error.message.strip().splitlines()[0] if error.message.strip() else type(error).__name__
        raise MiradaError(
            watch.explain()
            or f"The workers of this training lost each other ({first}): start all of them again with resume=true."
        ) from error
    finally:
        watch.end()
