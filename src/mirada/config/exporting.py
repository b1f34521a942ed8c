"""Settings of `export`: which variant, for which device, and what is told of devices."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from omegaconf import MISSING

from mirada.config.checks import at_least, greater_than, one_of, require
from mirada.config.commands import command

RUNTIMES = ("litert", "tflm", "vela", "edgetpu")
TIME_KNOWN = ("measured", "simulated", "unknown")
ARITHMETIC = ("native", "widened", "software", "none")
OPERATOR_SETS = ("litert", "tflm", "edgetpu")
IO_TYPES = ("uint8", "int8", "float32")
TARGETS = ("onnx", "saved_model")


@dataclass
class VelaConfig:
    """How Vela is asked to compile for an Ethos-U; what it is not told it takes from a default that is no board's."""

    accelerator: str = MISSING  # Vela's name of it, as in ethos-u55-128
    system_config: str = MISSING  # a section of vela.ini
    memory_mode: str = MISSING  # a section of vela.ini


@dataclass
class BoardLimitsConfig:
    """What a model may take of a board; null: what the board's file says, or no limit where it says none."""

    arena_bytes: int | None = None  # memory to work in; the rest of the RAM is the firmware's
    flash_bytes: int | None = None  # for the model, without the program
    milliseconds: float | None = None  # for an inference, where the board's time can be simulated

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for key in ("arena_bytes", "flash_bytes"):
            if (value := getattr(self, key)) is not None:
                at_least(f"device.limits.{key}", value, 1)
        if self.milliseconds is not None:
            greater_than("device.limits.milliseconds", self.milliseconds, 0)


@dataclass
class ArithmeticConfig:
    """How a device multiplies numbers of a kind; null: not known.

    One of ARITHMETIC. native: as they are, several at a time or in a unit for them. widened: as the next wider kind.
    software: by other instructions, many for each. none: not at all, the processor beside the accelerator does it.
    """

    int8: str | None = None  # integers of 8 bits
    float16: str | None = None  # floats of 16 bits
    float32: str | None = None  # floats of 32 bits

    def __post_init__(self) -> None:
        """Refuse another word."""
        for key, value in vars(self).items():
            if value is not None:
                one_of(f"device.arithmetic.{key}", value, ARITHMETIC)


@dataclass
class DeviceConfig:
    """A target, as a file of `conf/device`; what is null differs from board to board, and its source says so."""

    name: str = MISSING  # of the choice
    title: str = MISSING  # in words
    runtime: str = "litert"  # one of RUNTIMES
    operators: str = "litert"  # one of OPERATOR_SETS; `mirada.boards.operators` lists what is in each
    cores: int | None = None  # that an inference can use
    clock_mhz: float | None = None  # of the processor or the NPU
    ram_bytes: int | None = None  # in all
    flash_bytes: int | None = None  # what holds the model file
    time_known: str = "unknown"  # how an inference's time on it is known: one of TIME_KNOWN
    arithmetic: ArithmeticConfig = field(default_factory=ArithmeticConfig)
    vela: VelaConfig | None = None
    limits: BoardLimitsConfig = field(default_factory=BoardLimitsConfig)  # of RAM and flash, the part that is a model's
    sources: dict[str, str] = field(default_factory=dict)  # key of this class -> where its value is from

    def __post_init__(self) -> None:
        """Refuse values out of range, and values of which nobody says where they are from."""
        one_of("device.runtime", self.runtime, RUNTIMES)
        one_of("device.operators", self.operators, OPERATOR_SETS)
        one_of("device.time_known", self.time_known, TIME_KNOWN)
        require(
            (self.runtime == "vela") == (self.vela is not None),
            f"device={self.name}: the runtime vela needs device.vela, and no other has it.",
        )
        for key in ("cores", "ram_bytes", "flash_bytes"):
            if (value := getattr(self, key)) is not None:
                at_least(f"device.{key}", value, 1)
        if self.clock_mhz is not None:
            greater_than("device.clock_mhz", self.clock_mhz, 0)
        known = {entry.name for entry in fields(self)}
        for key in self.sources:
            require(key in known, f"device.sources names {key}, which is no key of a device.")


@command("export")
@dataclass
class ExportConfig:
    """Settings of `export`."""

    device: DeviceConfig = field(default_factory=DeviceConfig)
    model_dir: str = MISSING  # holds model.json
    variants_dir: str = MISSING  # holds variants.json and the .tflite files
    data_dir: str = MISSING  # what preprocess wrote: golden pictures come from its test photographs
    reports_dir: str | None = None  # holds metrics.json; null: the bundle tells no figures
    variant: str | None = None  # null: best, else int8, else the first
    io: str | None = None  # type of input and outputs; null: as the variant has them
    strips: bool = False  # compute wide layers in strips of rows where that takes less memory; for an int8 input
    postprocess: str | None = None  # graph: one more file that tells objects, not maps; null: none
    targets: list[str] = field(default_factory=list)  # what the bundle holds besides the .tflite, of TARGETS
    golden: int = 10  # test pictures with exact input, outputs and objects
    output_dir: str = MISSING  # a new folder

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.io is not None:
            one_of("io", self.io, IO_TYPES)
        require(
            not self.strips or self.io == "int8", "strips=true is for an int8 input: set io=int8, too, or strips=false."
        )
        if self.postprocess is not None:
            one_of("postprocess", self.postprocess, ("graph",))
            require(
                self.device.runtime == "litert",
                f"postprocess=graph is for devices that run LiteRT, and {self.device.name} runs {self.device.runtime}: "
                "leave postprocess out.",
            )
        for target in self.targets:
            one_of("targets", target, TARGETS)
        at_least("golden", self.golden, 1)
