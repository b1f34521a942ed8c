"""`gpus=N` means N replicas: N GPUs where there are N, N logical CPU devices where there is none.

Of several workers each has N; without a GPU, one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf

from mirada.errors import MiradaError
from mirada.learning.cluster import gather, make_strategy, watched
from mirada.workers.peers import Cluster


@dataclass(frozen=True)
class Devices:
    """What a training runs on."""

    strategy: tf.distribute.Strategy
    replicas: int  # of all workers
    gpus_physical: int  # GPUs in use here; 0: the replicas are logical CPU devices, so times say nothing about GPUs
    wanted: bool = True  # whether GPUs were asked for
    cluster: Cluster | None = None  # None: this process trains alone

    @property
    def sentence(self) -> str:
        """One line for the user."""
        if self.cluster:
            on = (
                f"{self.gpus_physical} GPU{'s' * (self.gpus_physical > 1)} each" if self.gpus_physical else "their CPUs"
            )
            me = self.cluster.name(self.cluster.index)
            role = "the chief" if self.is_chief else "which helps the chief and writes nothing"
            return f"training on {self.workers} workers, {on}; this is {me}, {role}"
        if self.gpus_physical:
            return f"training on {self.replicas} GPU{'s' * (self.replicas > 1)}"
        if self.replicas == 1:
            return "no GPU found: training on the CPU" if self.wanted else "training on the CPU"
        return f"no GPU found: {self.replicas} logical CPU devices stand in for {self.replicas} GPUs"

    @property
    def workers(self) -> int:
        """Processes that train together."""
        return self.cluster.workers if self.cluster else 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes and reports."""
        return self.cluster is None or self.cluster.is_chief

    def gather(self, number: float) -> list[float]:
        """A number of every worker, the chief's first."""
        return gather(self.strategy, self.cluster, number) if self.cluster else [number]

    @contextmanager
    def watched(self, wait_s: float = 0.0) -> Iterator[None]:
        """The end of another worker ends the block; see `cluster.watched`. Without others it is just the block."""
        if self.cluster is None:
            yield
            return
        with watched(self.strategy, self.cluster, wait_s):
            yield


def choose_devices(gpus: int, cluster: Cluster | None = None) -> Devices:
    """The strategy for N replicas; with gpus=0 one on the CPU, whatever there is.

    Args:
        gpus: N, on each worker.
        cluster: the workers; None: this process trains alone.

    Raises:
        MiradaError: there are GPUs, but fewer than asked for; or TensorFlow already runs with fewer logical devices.
    """
    found = tf.config.list_physical_devices("GPU") if gpus else []
    if found:
        if len(found) < gpus:
            raise MiradaError(f"gpus={gpus} but this machine has {len(found)}: set gpus={len(found)} or less.")
        for gpu in found:
            tf.config.experimental.set_memory_growth(gpu, True)
        if cluster:
            return Devices(make_strategy(cluster, gpus), gpus * cluster.workers, gpus, cluster=cluster)
        names = [f"/gpu:{number}" for number in range(gpus)]
        return Devices(_strategy(names), gpus, gpus)
    replicas = max(gpus, 1)
    if cluster:
        if replicas > 1:
            raise MiradaError(
                f"gpus={gpus} is for each worker, and {cluster.name(cluster.index)} has no GPU: set gpus=1, and start more "
                "workers for more replicas."
            )
        return Devices(make_strategy(cluster, 0), cluster.workers, 0, bool(gpus), cluster)
    return Devices(_strategy([f"/cpu:{number}" for number in range(_logical_cpus(replicas))]), replicas, 0, bool(gpus))


def _strategy(names: list[str]) -> tf.distribute.Strategy:
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.HierarchicalCopyAllReduce())


def _logical_cpus(wanted: int) -> int:
    """Split the CPU into logical devices; once in a process, so a sweep's first job makes enough for the others."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * max(wanted, 8))
    except RuntimeError as error:  # TensorFlow already runs
        if len(tf.config.list_logical_devices("CPU")) < wanted:
            raise MiradaError(
                f"gpus={wanted} needs {wanted} logical CPU devices, but TensorFlow already runs with fewer in this "
                "process: start a new one."
            ) from error
    return wanted
