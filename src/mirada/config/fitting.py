"""Settings of `fit`: the board, the space of networks that is searched for it, and how long."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from mirada.config.checks import at_least, between, greater_than, one_of, require
from mirada.config.commands import command
from mirada.config.data import DataConfig
from mirada.config.exporting import IO_TYPES, DeviceConfig
from mirada.config.training import HEAD_STRIDES, LEAST_WIDTH, NETWORK_RANGES, STAGE_STRIDES

NETWORKS = ("mcu", "tiny", "lite0")
"""Files of conf/model that have sizes to choose."""


@dataclass
class SpaceConfig:
    """The values that are searched, of each key in any order; a key without a say for a network or task is passed over."""

    model: list[str] = field(default_factory=lambda: ["mcu", "lite0"])  # of NETWORKS
    input_size: list[int] = field(default_factory=lambda: [96, 128, 160, 192, 224, 256])
    channels: list[int] = field(default_factory=lambda: [1, 3])
    width: list[int] = field(default_factory=lambda: [16, 24, 32, 48, 64])
    head_depth: list[int] = field(default_factory=lambda: [1, 2])
    head_stride: list[int] = field(default_factory=lambda: [8, 16])  # 0: a pyramid of 8, 16 and 32
    stages: list[int] = field(
        default_factory=lambda: [4, 5, 6]
    )  # of a pretrained backbone; 0: all, and ImageNet's head
    stem_stride: list[int] = field(default_factory=lambda: [2, 4])
    stem_width: list[int] = field(default_factory=lambda: [8, 16])
    multiplier: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75, 1.0, 1.5])
    blocks: list[int] = field(default_factory=lambda: [1, 2, 3])
    expansion: list[int] = field(default_factory=lambda: [3])

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for entry in fields(self):
            values = getattr(self, entry.name)
            require(bool(values), f"space.{entry.name} must hold one value at least.")
            doubled = len(set(values)) < len(values)
            require(not doubled, f"space.{entry.name} holds a value twice: leave one out.")
        for name in self.model:
            one_of("space.model", name, NETWORKS)
        for size in self.input_size:
            between("space.input_size", size, 32, 2048)
            require(size % 32 == 0, f"space.input_size must hold multiples of 32, got {size}.")
        for width in self.width:
            at_least("space.width", width, LEAST_WIDTH)
        for key, (low, high) in NETWORK_RANGES.items():
            for value in getattr(self, key):
                between(f"space.{key}", value, low, high)
        _all_of("channels", self.channels, (1, 3))
        _all_of("head_stride", self.head_stride, (0, *HEAD_STRIDES))
        _all_of("stages", self.stages, tuple(range(len(STAGE_STRIDES) + 1)))
        _all_of("stem_stride", self.stem_stride, (2, 4))


def _all_of(key: str, values: list[int], known: tuple[int, ...]) -> None:
    for value in values:
        require(value in known, f"space.{key} may hold {', '.join(map(str, known))}, got {value}.")


@command("fit")
@dataclass
class FitConfig:
    """Settings of `fit`; a stage's section holds what that stage's own configuration checks."""

    data: DataConfig = field(default_factory=DataConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    recipe: dict[str, Any] = field(default_factory=dict)  # a file of conf/experiment
    minutes: float = 60.0  # of this machine's time for all, the final training and test included
    short_epochs: int | None = None  # of a candidate's first training; null: so many that it takes 400 steps
    most_trained: int = 60  # candidates that are trained at all
    most_judged: int = 400  # candidates that are built and held against the board
    io: str = "int8"  # type of the input that memory is judged for and that the bundle has
    strips: bool | None = None  # wide layers in strips of rows: less memory, work twice; null: on microcontrollers
    npu_milliseconds: float | None = 16.0  # of an inference on an NPU whose device.limits say no time
    tflm_minutes: float = 10.0  # at most so long TensorFlow Lite Micro and the reference kernels see test images
    seed: int = 0
    output_dir: str = MISSING
    store_dir: str = "outputs/stages"
    fetch: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    quantize: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least("minutes", self.minutes, 1)
        greater_than("tflm_minutes", self.tflm_minutes, 0)
        for key in ("most_trained", "most_judged"):
            at_least(key, getattr(self, key), 1)
        at_least("short_epochs", 1 if self.short_epochs is None else self.short_epochs, 1)
        at_least("seed", self.seed, 0)
        require(not self.strips or self.io == "int8", f"strips=true needs io=int8, got io={self.io}.")
        if self.npu_milliseconds is not None:
            greater_than("npu_milliseconds", self.npu_milliseconds, 0)
            if self.device.vela is not None and self.device.limits.milliseconds is None:
                self.device.limits.milliseconds = self.npu_milliseconds
        one_of("io", self.io, tuple(kind for kind in IO_TYPES if kind != "float32"))

    @property
    def in_strips(self) -> bool:
        """Whether wide layers are computed in strips: as asked, else where memory is a microcontroller's arena."""
        return self.device.runtime == "tflm" and self.io == "int8" if self.strips is None else self.strips
