"""`gpus=N` means N replicas: N GPUs where there are N, N logical CPU devices where there is none."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from mirada.errors import MiradaError


@dataclass(frozen=True)
class Devices:
    """What a training runs on."""

    strategy: tf.distribute.Strategy
    replicas: int
    gpus_physical: int  # GPUs in use; 0: the replicas are logical CPU devices, so times say nothing about GPUs
    wanted: bool = True  # whether GPUs were asked for

    @property
    def sentence(self) -> str:
        """One line for the user."""
        if self.gpus_physical:
            return f"training on {self.replicas} GPU{'s' * (self.replicas > 1)}"
        if self.replicas == 1:
            return "no GPU found: training on the CPU" if self.wanted else "training on the CPU"
        return f"no GPU found: {self.replicas} logical CPU devices stand in for {self.replicas} GPUs"


def choose_devices(gpus: int) -> Devices:
    """The strategy for N replicas; with gpus=0 one on the CPU, whatever there is.

    Raises:
        MiradaError: there are GPUs, but fewer than asked for; or TensorFlow already runs with fewer logical devices.
    """
    found = tf.config.list_physical_devices("GPU") if gpus else []
    if found:
        if len(found) < gpus:
            raise MiradaError(f"gpus={gpus} but this machine has {len(found)}: set gpus={len(found)} or less.")
        for gpu in found:
            tf.config.experimental.set_memory_growth(gpu, True)
        names = [f"/gpu:{number}" for number in range(gpus)]
        return Devices(_strategy(names), gpus, gpus)
    replicas = max(gpus, 1)
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
