"""How fast each layer learns at each moment of a training. Pure functions; times are epochs, from 0, with fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mirada.config import TrainConfig


def rates(
    config: TrainConfig, steps: int, epoch: float, since: tuple[float, float], peaks: tuple[float, float]
) -> tuple[float, float]:
    """The learning rates of the pretrained layers, where these learn fastest, and of the new ones.

    Each rises linearly from its start on and then stays, or falls along a cosine to a hundredth, as `config` says.

    Args:
        config: schedule, warmup_epochs and epochs.
        steps: of an epoch.
        epoch: now.
        since: when either was let go; before that its rate is 0.
        peaks: of either.
    """
    falling = decay(config, epoch)
    ramps = [warm_up(epoch - start, config.warmup_epochs, steps) for start in since]
    return peaks[0] * falling * ramps[0], peaks[1] * falling * ramps[1]


def decay(config: TrainConfig, epoch: float) -> float:
    """1 at the start; with the schedule 'cosine' a hundredth at the end."""
    cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    return cosine if config.schedule == "cosine" else 1.0


def warm_up(elapsed: float, warmup_epochs: float, steps: int) -> float:
    """0..1: a line that ends after `warmup_epochs`, of which the first step has its share already; 0 before it begins."""
    if elapsed < 0:
        return 0.0
    return min(1.0, (elapsed + 1 / steps) / warmup_epochs) if warmup_epochs else 1.0


def block_shares(config: TrainConfig, steps: int, depths: Sequence[int], elapsed: float) -> list[float] | None:
    """What share of the pretrained layers' rate each of their variables has.

    Args:
        config: layer_lr_decay, thaw_blocks and warmup_epochs.
        steps: of an epoch.
        depths: of each variable's block, counted from the last one, which is 0.
        elapsed: epochs since the last block was let go; `math.inf`: long ago.

    Returns:
        0..1 a variable; None where all have the whole rate.
    """
    if config.layer_lr_decay == 1.0 and not config.thaw_blocks:
        return None
    first = warm_up(elapsed, config.warmup_epochs, steps)
    shares = []
    for depth in depths:
        later = depth // config.thaw_blocks if config.thaw_blocks else 0
        ramp = warm_up(elapsed - later, config.warmup_epochs, steps) / first if first else 0.0
        shares.append(config.layer_lr_decay**depth * ramp)
    return shares
